// The interactive figure of the book: controls, one picture of one or more panels, a caption.
// It needs nothing but the browser. A frame, {panels: {name: [marks]}, alt, caption}, is either
// looked up among stored states or computed by a small formula module on every move.
let serial = 0;

export default { render };

async function render({ model, el }) {
  const scene = model.get("scene");
  const arrays = await unpack(model.get("blob"), scene);
  const compute = scene.states ? lookUp(scene, arrays) : await closedForm(model.get("source"), scene, arrays);
  const ui = build(scene, `dc-${++serial}-${Math.random().toString(36).slice(2, 8)}`);
  el.replaceChildren(ui.root);

  let pending = 0, speak = 0;
  const position = () => ({ ...scene.start, ...model.get("position") });
  const draw = () => {
    pending = 0;
    const at = position();
    for (const c of ui.controls) c.show(at[c.name]);
    let frame;
    try {
      frame = compute(at);
    } catch (error) {
      frame = failed(error);
    }
    const words = Object.fromEntries(scene.controls.map((c) => [c.name, c.texts[at[c.name]]]));
    ui.picture.setAttribute("aria-label", frame.alt || fill(scene.alt, words));
    try {
      for (const p of ui.panels) drawPanel(p, frame.panels[p.name] || [], ui.root);
    } catch (error) {
      frame = failed(error);
    }
    clearTimeout(speak); // a screen reader hears where the slider stopped, not every step
    speak = setTimeout(() => { ui.caption.textContent = frame.caption || fill(scene.caption, words); }, ui.caption.textContent ? 120 : 0);
  };
  const schedule = () => { if (!pending) pending = requestAnimationFrame(draw); };
  const move = (change) => {
    model.set("position", { ...position(), ...change });
    model.save_changes();
    schedule();
  };
  for (const c of ui.controls) c.onMove((index) => move({ [c.name]: index }));
  for (const p of ui.panels) if (p.spec.drag) followPointer(p, scene.controls, move);

  model.on("change:position", schedule);
  const sizes = new ResizeObserver(schedule);
  sizes.observe(ui.picture);
  const theme = new MutationObserver(schedule); // canvases do not follow CSS variables by themselves
  for (const node of [document.documentElement, document.body]) theme.observe(node, { attributes: true });
  const system = matchMedia("(prefers-color-scheme: dark)");
  system.addEventListener("change", schedule);
  draw();
  return () => {
    model.off("change:position", schedule);
    sizes.disconnect();
    theme.disconnect();
    system.removeEventListener("change", schedule);
    cancelAnimationFrame(pending);
    clearTimeout(speak);
    for (const c of ui.controls) c.stop();
  };
}

function failed(error) {
  console.error("Explorer:", error);
  return { panels: {}, caption: `This figure could not be drawn: ${error.message}` };
}

// ---------------------------------------------------------------- frames

function lookUp(scene, arrays) {
  return (at) => {
    const state = scene.states[scene.controls.reduce((n, c) => n * c.texts.length + at[c.name], 0)];
    const panels = {};
    for (const [name, marks] of Object.entries(state.panels)) panels[name] = marks.map((i) => resolve(scene.marks[i], arrays));
    return { panels, alt: state.alt, caption: state.caption };
  };
}

async function closedForm(source, scene, arrays) {
  const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const { default: formula } = await import(/* @vite-ignore */ url);
  URL.revokeObjectURL(url);
  const data = resolve(scene.data, arrays);
  return (at) => {
    const { alt, caption, ...panels } = formula(Object.fromEntries(scene.controls.map((c) => [c.name, c.values[at[c.name]]])), data);
    return { panels, alt, caption };
  };
}

// ---------------------------------------------------------------- page elements

function build(scene, id) {
  const controls = scene.controls.map((c) => (c.kind === "choice" ? choice(c, id) : slider(c, id)));
  // Saved pages store the keys of `panels` sorted; `order` is the order that the author wrote.
  const panels = (scene.order || Object.keys(scene.panels)).map((name, i) => {
    const spec = scene.panels[name];
    const canvas = h("canvas"), plot = h("div", { class: "dc-plot" }, canvas, h("div", { class: "dc-svg" }));
    const title = h("div", { class: "dc-panel-title" }, spec.title || ""), legend = h("div", { class: "dc-legend" });
    return { name, spec, canvas, plot, title, legend, clip: `${id}-clip-${i}`, node: h("div", { class: `dc-panel dc-panel-${name}` }, title, legend, plot) };
  });
  const picture = h("div", { class: "dc-picture", role: "img" }, ...panels.map((p) => p.node));
  picture.style.setProperty("--dc-columns", scene.columns);
  const caption = h("p", { class: "dc-caption", "aria-live": "polite" });
  const root = h("div", { class: "dc-explorer", role: "group", "aria-label": scene.title },
    h("div", { class: "dc-title", "aria-hidden": "true" }, scene.title),
    h("div", { class: "dc-controls" }, ...controls.map((c) => c.node)), picture, caption);
  return { root, controls, panels, picture, caption };
}

function slider(spec, id) {
  const last = spec.texts.length - 1, key = `${id}-${spec.name}`;
  const input = h("input", { type: "range", id: key, min: 0, max: last, step: 1 });
  const output = h("output", { for: key, "aria-hidden": "true" }); // the slider says it: aria-valuetext
  const row = h("div", { class: "dc-row" }, input);
  const node = h("div", { class: "dc-control" }, h("div", { class: "dc-label-row" }, h("label", { for: key }, spec.label), output), row);
  let moved = () => {}, timer = 0;
  const button = !spec.play ? null : h("button", { type: "button", class: "dc-play", "aria-pressed": "false", "aria-label": `Play: ${spec.label}` });
  const stop = () => { clearInterval(timer); timer = 0; button?.setAttribute("aria-pressed", "false"); };
  const advance = () => {
    if (!input.isConnected || +input.value >= last) return stop();
    moved(+input.value + 1);
    if (+input.value + 1 >= last) stop();
  };
  if (button) {
    row.prepend(button);
    button.addEventListener("click", () => {
      if (timer) return stop();
      const rewound = +input.value >= last;
      if (rewound) moved(0);
      // no motion without a wish for it: one step for each press
      if (matchMedia("(prefers-reduced-motion: reduce)").matches) return rewound ? undefined : advance();
      button.setAttribute("aria-pressed", "true");
      timer = setInterval(advance, spec.interval);
    });
  }
  input.addEventListener("input", () => { stop(); moved(+input.value); });
  return {
    name: spec.name, node, stop, onMove: (f) => { moved = f; },
    show: (i) => {
      if (+input.value !== i) input.value = i;
      input.style.setProperty("--dc-fill", `${last ? (100 * i) / last : 0}%`);
      input.setAttribute("aria-valuetext", spec.texts[i]);
      output.textContent = spec.texts[i];
    },
  };
}

// Clicking or dragging in a panel moves the named sliders; a finger only taps, so the page scrolls.
function followPointer(p, controls, move) {
  const nearest = (values, v) => values.reduce((best, u, i) => (Math.abs(u - v) < Math.abs(values[best] - v) ? i : best), 0);
  const go = (event) => {
    if (!p.axes) return;
    const box = p.plot.getBoundingClientRect(), at = [event.clientX - box.left, event.clientY - box.top], change = {};
    p.spec.drag.forEach((name, k) => {
      const c = controls.find((control) => control.name === name);
      if (c) change[name] = nearest(c.values, [p.axes.x, p.axes.y][k].invert(at[k]));
    });
    move(change);
  };
  p.plot.classList.add("dc-drag");
  p.plot.addEventListener("pointerdown", (e) => { if (e.pointerType !== "touch") { p.plot.setPointerCapture(e.pointerId); go(e); } });
  p.plot.addEventListener("pointermove", (e) => { if (e.buttons && e.pointerType !== "touch") go(e); });
  p.plot.addEventListener("click", go);
}
