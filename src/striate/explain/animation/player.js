(() => {
  const NS = "http://www.w3.org/2000/svg";
  const still = window.matchMedia("(prefers-reduced-motion: reduce)");

  function player(root) {
    root.dataset.ready = "";
    const data = JSON.parse(root.querySelector("script[type='application/json']").textContent);
    const planes = {};
    for (const svg of root.querySelectorAll("[data-plane]")) {
      const cells = [...svg.querySelectorAll(".cell")];
      planes[svg.dataset.plane] = { svg, cells, box: svg.querySelector(".window"), first: cells.map(read), lit: [] };
    }
    const [back, play, forward] = root.querySelectorAll("button");
    const slider = root.querySelector("input"), count = root.querySelector("output");
    const words = root.querySelector(".striate-words");
    let now = 0, timer = 0;

    function read(cell) {
      const text = cell.lastElementChild, rect = cell.firstElementChild;
      return [text.tagName === "text" ? text.textContent : "", cell.classList[1], +rect.getAttribute("fill-opacity"),
        cell.dataset.value, rect.style.fill];
    }
    function write(cell, [text, kind, shade, value, fill]) {
      const rect = cell.firstElementChild, label = cell.lastElementChild;
      cell.setAttribute("class", "cell " + kind + (label === rect ? " small" : ""));
      rect.style.fill = fill || "";
      rect.setAttribute("fill-opacity", shade);
      if (label !== rect) label.textContent = text;
      if (value === undefined || value === null) delete cell.dataset.value; else cell.dataset.value = value;
    }
    function advance(frame) {
      for (const [name, index, cell] of frame.written) write(planes[name].cells[index], cell);
    }
    function show(n) {
      n = Math.max(0, Math.min(data.frames.length - 1, n));
      if (n < now || n === 0) {
        for (const p of Object.values(planes)) p.cells.forEach((c, i) => write(c, p.first0[i]));
        now = -1;
      }
      while (now < n) advance(data.frames[++now]);
      const frame = data.frames[n], side = data.side;
      for (const [name, p] of Object.entries(planes)) {
        for (const i of p.lit) p.cells[i].classList.remove("on");
        (frame.planes[name] || []).forEach((c, i) => write(p.cells[i], c));
        p.lit = frame.lit[name] || [];
        const area = frame.outlines[name] ? frame.outlines[name][2] * frame.outlines[name][3] : 0;
        p.svg.classList.toggle("sparse", p.lit.length > 0 && p.lit.length < area);
        for (const i of p.lit) p.cells[i].classList.add("on");
        const box = frame.outlines[name];
        p.box.setAttribute("visibility", box ? "visible" : "hidden");
        if (box) ["y", "x", "height", "width"].forEach((key, i) => p.box.setAttribute(key, box[i] * side[name]));
      }
      words.innerHTML = "";
      for (const line of frame.caption) words.appendChild(document.createElement("span")).textContent = line;
      slider.value = n;
      slider.setAttribute("aria-valuetext", frame.caption[0]);
      count.textContent = n + 1 + " / " + data.frames.length;
      root.dataset.frame = n;
    }
    function stop() {
      clearInterval(timer);
      timer = 0;
      play.setAttribute("aria-label", "Play");
      words.setAttribute("aria-live", "polite");
      root.classList.remove("striate-playing");
    }
    function start() {
      if (now === data.frames.length - 1) show(0);
      play.setAttribute("aria-label", "Pause");
      words.setAttribute("aria-live", "off");
      root.classList.add("striate-playing");
      timer = setInterval(() => {
        if (!root.isConnected || now === data.frames.length - 1) stop(); else show(now + 1);
      }, data.seconds * 1000);
    }
    const toggle = () => (timer ? stop() : start());
    const step = (n) => { stop(); show(now + n); };

    for (const [name, cells] of Object.entries(data.blank))
      planes[name].first0 = cells;
    for (const p of Object.values(planes)) p.first0 = p.first0 || p.first;
    play.addEventListener("click", toggle);
    back.addEventListener("click", () => step(-1));
    forward.addEventListener("click", () => step(1));
    slider.addEventListener("input", () => { stop(); show(+slider.value); });
    root.addEventListener("keydown", (event) => {
      if (event.altKey || event.ctrlKey || event.metaKey) return;
      const own = event.target === slider, button = event.target.tagName === "BUTTON";
      const does = {
        ArrowLeft: () => !own && step(-1), ArrowRight: () => !own && step(1), Home: () => !own && step(-now),
        End: () => !own && step(data.frames.length), " ": () => !button && toggle(), k: toggle,
      }[event.key];
      if (does && does() !== false) event.preventDefault();
    });
    root.querySelector(".striate-controls").hidden = false;
    show(data.start);
    if (data.autoplay && !still.matches) start();
  }
  document.querySelectorAll(".striate-player:not([data-ready])").forEach(player);
})();
