// Lecture decks: starts reveal.js, the live figures and MathJax. No request leaves the deck.
"use strict";

(() => {
  const WIDTHS = [1160, 1020, 900, 800, 720, 640, 570, 480, 400, 340], LARGEST = 1.8;
  const frame = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  const data = (element) => JSON.parse(element.textContent);
  const started = new Map(); // live figure -> promise that it has drawn itself

  window.MathJax = {
    tex: { inlineMath: [["\\(", "\\)"]], displayMath: [["\\[", "\\]"]] },
    options: { enableMenu: false, ignoreHtmlClass: "live" },
  };

  // A page without a kernel: what the figure sets stays in the page.
  async function start(figure) {
    const { program, values, blob } = data(figure.querySelector("script"));
    const bytes = Uint8Array.from(atob(blob), (c) => c.charCodeAt(0));
    const known = { ...values, blob: new DataView(bytes.buffer) };
    const model = {
      get: (name) => known[name], set: (name, value) => { known[name] = value; },
      save_changes() {}, on() {}, off() {},
    };
    const code = data(document.getElementById(program));
    const url = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
    const { default: widget } = await import(url);
    URL.revokeObjectURL(url);
    await widget.render({ model, el: figure.querySelector(".place") });
  }

  // As large as the slide allows: of the widths at which the figure can be laid out, one with
  // large letters that does not make it a small picture in a large frame.
  async function fit(figure) {
    const stage = figure.querySelector(".stage"), place = figure.querySelector(".place");
    const room = { width: stage.clientWidth, height: stage.clientHeight };
    if (!room.width || figure.dataset.fitted === `${room.width}×${room.height}`) return;
    place.style.visibility = "hidden";
    place.style.zoom = 1;
    const choices = [];
    for (const width of WIDTHS) {
      place.style.width = `${width}px`;
      await frame();
      choices.push({ width, zoom: Math.min(LARGEST, room.width / width, room.height / place.offsetHeight) });
    }
    const enough = room.width * (figure.querySelectorAll(".dc-panel").length > 1 ? 0.64 : 0.4);
    const worth = ({ width, zoom }) => zoom ** 2 * Math.min(1, (width * zoom) / enough);
    const best = choices.reduce((a, b) => (worth(b) > worth(a) ? b : a));
    place.style.width = `${best.width}px`;
    place.style.zoom = best.zoom;
    await frame();
    place.style.visibility = "";
    figure.dataset.fitted = `${room.width}×${room.height}`;
  }

  async function show(slide) {
    for (const figure of slide.querySelectorAll(".live")) {
      if (!started.has(figure)) started.set(figure, start(figure));
      await started.get(figure);
      await fit(figure);
    }
  }

  // Keys belong to a control while it has the focus; page keys, which presenters' remote controls
  // send, always turn the slides, and so do all keys after a control was used with a mouse.
  const inFigure = (target) => Boolean(target?.closest?.(".live"));
  const turns = (event) => event.key === "PageUp" || event.key === "PageDown";
  const release = () => { if (inFigure(document.activeElement)) document.activeElement.blur(); };
  document.addEventListener("keydown", (event) => { if (turns(event)) release(); }, true);
  document.addEventListener("pointerup", (event) => {
    if (inFigure(event.target) && event.target.tagName !== "SELECT") release();
  });

  const deck = window.Reveal;
  const printed = /[?&](print-pdf|view=print)/.test(location.search) // in pages after it is ready
    ? new Promise((done) => deck.on("pdf-ready", done)) : null;
  const everything = () => Promise.all([...document.querySelectorAll(".slides section")].map(show));
  deck.on("slidechanged", ({ currentSlide }) => show(currentSlide));
  window.deckReady = deck.initialize({
    width: 1280, height: 720, margin: 0, center: false, display: "flex", hash: true, transition: "none",
    backgroundTransition: "none", slideNumber: "c/t", controlsTutorial: false, scrollActivationWidth: 0,
    pdfSeparateFragments: false, pdfMaxPagesPerSlide: 1, plugins: [window.RevealNotes],
    keyboardCondition: (event) => turns(event) || !inFigure(event.target),
  }).then(() => (printed ? printed.then(everything) : show(deck.getCurrentSlide())));
})();
