"""One module per runtime. Each offers `version()` and `prepare(job)`, which gives a `benchmarks.jobs.Work`."""
