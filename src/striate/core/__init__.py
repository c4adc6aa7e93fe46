"""What everything else stands on: window arithmetic, dtypes, errors, configuration, the class registry. It imports
nothing above it."""
