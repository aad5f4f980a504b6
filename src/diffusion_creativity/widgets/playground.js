// The playground: a target, an architecture, and what follows, all computed in the browser.
let serial = 0;
const STEPS = [2, 4, 8, 12, 18, 25, 40, 60, 100], TICKS = 120, SECONDS = 6, KEY = "playground";
const COUNT = { plane: 1000, line: 1000, images: SHOWN };

export default { render };

// ---------------------------------------------------------------- state and its link

// What a link holds, in the order that it is written.
function asText({ target, arch, p, steps, seed, at, draw }) {
  return `target:${target},arch:${arch},p:${p},steps:${steps},seed:${seed},at:${at}${draw?.[target] ? `,draw:${draw[target]}` : ""}`;
}

// A state from such text; what is missing or unknown is left as in `given`.
function fromText(text, given) {
  const found = Object.fromEntries(text.split(",").map((part) => part.split(":")));
  const whole = (name, low, high) => (/^\d{1,9}$/.test(found[name] ?? "") && +found[name] >= low && +found[name] <= high ? +found[name] : given[name]);
  const target = found.target ?? given.target, sketch = Object.hasOwn(TARGETS, target) && TARGETS[target].sketch;
  return {
    target, arch: found.arch ?? given.arch, p: whole("p", 1, 999),
    steps: STEPS.includes(+found.steps) ? +found.steps : given.steps, seed: whole("seed", 0, 999999999), at: whole("at", 0, TICKS),
    draw: sketch && readable[sketch](found.draw) ? { ...given.draw, [target]: found.draw } : given.draw,
  };
}

// Inside Jupyter, Colab or VS Code the address is not the book's: there a link would lead nowhere.
function hasAddress() {
  const { body } = document;
  return /^(https?|file):$/.test(location.protocol) && window === window.top && !("jpThemeLight" in body.dataset)
    && !body.matches(".vscode-body, .notebook_app") && !window.google?.colab;
}

function stateInAddress() {
  const found = new RegExp(`[#&]${KEY}=([^&]*)`).exec(location.hash);
  try {
    return found ? decodeURIComponent(found[1]) : null;
  } catch {
    return null;
  }
}

// ---------------------------------------------------------------- page elements

function field(id, label, input, output = "") {
  input.id = id;
  return h("div", { class: `dc-control${input.matches("select") ? " dc-choice" : ""}` },
    h("div", { class: "dc-label-row" }, h("label", { for: id }, label), output), h("div", { class: "dc-row" }, input));
}

function slider(id, label) {
  const input = h("input", { type: "range", min: 0, step: 1 }), output = h("output", { for: id, "aria-hidden": "true" });
  const node = field(id, label, input, output), caption = node.querySelector("label");
  return {
    node, input,
    show(value, text, low, high, name = label) {
      if (+input.max !== high || +input.min !== low) Object.assign(input, { min: low, max: high });
      if (+input.value !== value) input.value = value;
      input.style.setProperty("--dc-fill", `${high > low ? (100 * (value - low)) / (high - low) : 0}%`);
      input.setAttribute("aria-valuetext", text);
      if (caption.textContent !== name) caption.textContent = name;
      if (output.textContent !== text) output.textContent = text;
    },
  };
}

function build(targets) {
  const id = `dcp-${++serial}-${Math.random().toString(36).slice(2, 8)}`;
  const target = h("select"), arch = h("select");
  for (const kind of Object.keys(GROUPS)) {
    const some = Object.entries(targets).filter(([, t]) => (t.group ?? t.kind) === kind);
    if (some.length) target.append(h("optgroup", { label: GROUPS[kind] }, ...some.map(([name, t]) => h("option", { value: name }, t.label))));
  }
  const panel = (name) => {
    const title = h("div", { class: "dc-panel-title" }), note = h("div", { class: "dcp-note" }), canvas = h("canvas");
    return { title, note, canvas, node: h("div", { class: `dc-panel dcp-${name}` }, title, canvas, note) };
  };
  const panels = { data: panel("data"), law: panel("law"), samples: panel("samples") };
  const results = h("div", { class: "dcp-results", role: "img" }, panels.law.node, panels.samples.node), picture = h("div", { class: "dc-picture" }, panels.data.node, results);
  const parameter = slider(`${id}-p`, "Parameter"), steps = slider(`${id}-steps`, "Steps"), time = slider(`${id}-sigma`, "Noise level σ");
  const play = h("button", { type: "button", class: "dc-play", "aria-pressed": "false", "aria-label": "Play: noise level falls" });
  time.node.classList.add("dcp-time");
  time.node.querySelector(".dc-row").prepend(play);
  const own = h("button", { type: "button", class: "dcp-button dcp-own" }, "Draw your own"), again = h("button", { type: "button", class: "dcp-button" }, "New noise"), link = h("button", { type: "button", class: "dcp-button" });
  const said = h("span", { class: "dcp-said", role: "status" }), by_hand = h("input", { type: "text", readonly: true, class: "dcp-link", "aria-label": "Text to copy", hidden: true });
  const caption = h("p", { class: "dc-caption", "aria-live": "polite" }), numbers = h("dl", { class: "dcp-numbers" });
  const controls = h("div", { class: "dc-controls" }, field(`${id}-target`, "Target", target), field(`${id}-arch`, "Architecture", arch), parameter.node, steps.node);
  const root = h("div", { class: "dc-explorer dc-playground", role: "group", "aria-label": "Playground: target and architecture" },
    h("div", { class: "dc-title", "aria-hidden": "true" }, "What does this architecture make of this target?"),
    controls, picture, time.node, h("div", { class: "dcp-actions" }, own, again, link, said), by_hand, caption, numbers);
  arch.append(...Object.entries(ARCHITECTURES).map(([name, a]) => h("option", { value: name }, a.label)));
  return { id, root, target, arch, panels, picture, results, parameter, steps, time, play, own, again, link, said, by_hand, caption, numbers, controls };
}

// ---------------------------------------------------------------- the figure

function render({ model, el }) {
  const spec = model.get("spec"), targets = { ...TARGETS };
  if (spec.images) targets.images = imagesTarget(spec.images, model.get("blob"));
  const ui = build(targets), still = matchMedia("(prefers-reduced-motion: reduce)"), linked = hasAddress();
  const cache = new Map();
  let state = sane(fromText((linked && stateInAddress()) || "", spec.start), targets);
  let scene = null, frame = 0, speak = 0, playing = null, colours = null, silence = 0, stale = false, whole = { took: 0, end: 0 };
  el.replaceChildren(ui.root);
  ui.link.textContent = linked ? "Copy link" : "Copy code";

  // Everything that depends on target, architecture, parameter, steps and seed.
  function prepare() {
    stale = false;
    const spot = targets[state.target], architecture = ARCHITECTURES[state.arch];
    if (!spot.sketch && !cache.has(state.target)) cache.set(state.target, spot.make());
    const data = spot.sketch ? spot.make(state.draw?.[state.target]) : cache.get(state.target), problem = { data, kind: spot.kind, the: spot.the, shape: spot.shape, value: state.p };
    const { denoiser, law, orbit: group } = architecture.fit(problem), sigmas = karrasLevels(state.steps), reach = Math.max(reachOf(data), spot.sketch === "strokes" ? SHEET.half : 0), normal = normals(uniforms(1000 + state.seed));
    const start = Float64Array.from({ length: COUNT[spot.kind] * data.d }, () => sigmas[0] * normal());
    scene = { problem, architecture, spot, sigmas, reach, run: sampler(denoiser, start, data.d, sigmas), law: preparedLaw(law(sigmas), problem, reach), orbit: group, rows: 16, facts: null, fresh: true };
    for (const option of ui.arch.options) { // what this target does not fit stays in sight, with the reason
      const { kinds, needs, label } = ARCHITECTURES[option.value];
      option.disabled = !kinds.includes(spot.kind);
      set(option, option.disabled ? `${label} (needs ${needs})` : label);
    }
    ui.root.setAttribute("aria-busy", "true");
    ui.root.classList.toggle("dcp-drawing", Boolean(spot.sketch));
    sheet.show(spot.sketch ?? null, state.draw?.[state.target] ?? EXAMPLE[spot.sketch]);
  }

  const wanted = () => (state.at / TICKS) * state.steps;

  // Samples where the reader has put the slider, or as far as they are computed.
  function samplesNow() {
    const { run, sigmas } = scene, p = Math.min(playing ? playing.at : wanted(), run.done), j = Math.min(Math.floor(p), state.steps), f = p - j;
    if (f === 0) return { y: run.path[j], sigma: sigmas[j], p };
    const a = run.path[j], b = run.path[j + 1]; // on its step a sample moves straight, in σ
    return { y: a.map((v, i) => v + f * (b[i] - v)), sigma: sigmas[j] + f * (sigmas[j + 1] - sigmas[j]), p };
  }

  // A few milliseconds of the sampler's work, in pieces that suit this machine.
  function compute(limit) {
    const { run } = scene;
    for (let before = performance.now(), until = before + limit; !run.finished && before < until; ) {
      run.work(scene.rows);
      const now = performance.now(), took = now - before;
      if (took < 0.6) scene.rows = Math.min(run.n, 2 * scene.rows);
      else if (took > 2) scene.rows = Math.max(1, scene.rows >> 1);
      before = now;
    }
  }

  function draw(now) {
    frame = 0;
    const began = performance.now();
    if (stale && sheet.busy && began - whole.end < 4 * whole.took) return drawSheet();
    if (stale) prepare();
    if (playing) advance(now);
    compute(playing || sheet.busy ? 7 : 24);
    const { y, sigma, p } = samplesNow(), { problem, reach, run } = scene, there = run.done >= wanted();
    if (!colours) colours = coloursOf(ui.root);
    if (scene.fresh) {
      if (scene.spot.sketch) sheet.draw(problem, colours);
      else drawData(ui.panels.data.canvas, problem, reach, colours);
      drawLaw(ui.panels.law.canvas, scene.law, problem, reach, colours);
      scene.fresh = false;
    }
    if (there || playing || !(still.matches || sheet.busy)) drawSamples(ui.panels.samples.canvas, y, sigma, problem, scene.law, reach, colours);
    ui.root.drawn = (ui.root.drawn || 0) + 1;
    show(sigma, p);
    if (!run.finished || playing) schedule();
    else if (!scene.facts && !sheet.busy) scene.facts = factsOf(scene);
    if (!playing) tell();
    if (sheet.busy) whole = { took: performance.now() - began, end: performance.now() };
  }

  // While a hand draws, the target follows at every frame, law and samples as often as there is time.
  function drawSheet() {
    sheet.draw({ data: scene.spot.make(state.draw[state.target]) }, colours);
    ui.root.drawn++;
    schedule();
  }

  const schedule = () => { if (!frame) frame = requestAnimationFrame(draw); };

  function advance(now) {
    const since = playing.last ? Math.min(0.1, (now - playing.last) / 1000) : 0;
    playing.last = now;
    playing.at = Math.min(scene.run.done, playing.at + (since * state.steps) / SECONDS); // waits for what is not computed
    if (playing.at >= state.steps) halt();
    else state.at = Math.round((playing.at / state.steps) * TICKS);
  }

  function halt() {
    if (!playing) return;
    state.at = Math.round((playing.at / state.steps) * TICKS);
    playing = null;
    ui.play.setAttribute("aria-pressed", "false");
    remember();
  }

  const level = (sigma) => (sigma === 0 ? "0" : sigma >= 9.95 ? sigma.toFixed(0) : sigma >= 0.995 ? sigma.toFixed(1) : sigma >= 0.0995 ? sigma.toFixed(2) : sigma.toFixed(3));

  const set = (node, text) => { if (node.textContent !== text) node.textContent = text; };

  function show(sigma, p) {
    const { parameter } = scene.architecture, { problem } = scene, text = level(sigma);
    ui.time.show(state.at, text, 0, TICKS);
    set(ui.panels.samples.title, `Samples, σ = ${text}`);
    set(ui.panels.samples.note, `step ${Math.floor(p)} of ${state.steps}, noise number ${state.seed}`);
    if (playing) return; // while it plays, all else stays
    ui.target.value = state.target;
    ui.arch.value = state.arch;
    if (parameter) {
      if (!ui.parameter.node.isConnected) ui.controls.insertBefore(ui.parameter.node, ui.steps.node);
      ui.parameter.show(state.p, String(state.p), parameter.low(problem), parameter.high(problem), parameter.label);
    } else ui.parameter.node.remove();
    ui.steps.show(STEPS.indexOf(state.steps), String(state.steps), 0, STEPS.length - 1);
    set(ui.panels.data.title, scene.spot.sketch ? "Target: draw here" : "Target");
    set(ui.own, { strokes: "Draw images", pixels: "Draw points" }[scene.spot.sketch] ?? "Draw your own");
    set(ui.panels.data.note, `${scene.spot.label}, ${few(problem.data.n, ...thing[problem.kind])}`);
    set(ui.panels.law.title, scene.law.sampled ? "Places of the law" : "Predicted law");
    set(ui.panels.law.note, scene.architecture.law(problem));
    ui.results.setAttribute("aria-label", `Target: ${scene.spot.the}${digest()}. Two panels: the law of the ${scene.architecture.label.toLowerCase()} denoiser${parameter ? ` (${parameter.label} = ${state.p})` : ""}: ${scene.architecture.law(problem)}; and ${COUNT[problem.kind]} samples at noise level ${text}, after step ${Math.floor(p)} of ${state.steps}, slider at ${state.at} of ${TICKS}, noise number ${state.seed}.`);
  }

  // The same words for the same drawing, others for another.
  function digest() {
    const { problem: { data }, spot } = scene, { mean, cov } = momentsOf(data), round = (v) => v.toFixed(2);
    if (!spot.sketch) return "";
    return spot.sketch === "pixels" ? `, ${few(data.n, "image", "images")}, ${data.x.reduce((s, v) => s + (v > 0), 0)} pixels with ink` : `, centred at (${round(mean[0])}, ${round(mean[1])}), ${round(Math.sqrt(cov[0]))} wide and ${round(Math.sqrt(cov[3]))} high (standard deviations)`;
  }

  // A screen reader hears where the reader stopped, not every step.
  function tell() {
    clearTimeout(speak);
    speak = setTimeout(() => {
      const text = scene.architecture.words(scene.problem);
      if (ui.caption.textContent !== text) ui.caption.textContent = text;
      ui.numbers.replaceChildren(...(scene.facts || []).flatMap(([name, value]) => [h("div", {}, h("dt", {}, name), h("dd", {}, value))]));
      ui.root.setAttribute("aria-busy", String(!scene.facts));
    }, ui.caption.textContent ? 120 : 0);
  }

  function remember() {
    if (!linked) return;
    const others = location.hash.slice(1).split("&").filter((part) => part && !part.startsWith(`${KEY}=`) && part.includes("="));
    try {
      history.replaceState(history.state, "", `#${[...others, `${KEY}=${asText(state)}`].join("&")}`);
    } catch { /* a browser that forbids it loses nothing but the address */ }
  }

  // `finished` is false while the reader's hand moves: the address waits for its end.
  function change(part, finished = true) {
    halt();
    const before = state;
    state = { ...state, ...part };
    if (before.target !== state.target || before.arch !== state.arch) state = sane({ ...state, p: "p" in part ? part.p : null }, targets, before.arch);
    else if (before.draw !== state.draw) state = sane(state, targets);
    if (part.target && before.arch !== state.arch) say(`${ARCHITECTURES[before.arch].label} needs ${ARCHITECTURES[before.arch].needs}: now ${ARCHITECTURES[state.arch].label.toLowerCase()}.`);
    if (["target", "arch", "p", "steps", "seed", "draw"].some((k) => before[k] !== state[k])) {
      if (finished) prepare();
      else stale = true;
    }
    if (finished) remember();
    schedule();
  }

  function say(words) {
    ui.said.textContent = words;
    clearTimeout(silence);
    silence = setTimeout(() => { ui.said.textContent = ""; }, 4000);
  }

  const sheet = makeSheet(ui.panels.data, ui.id, {
    say, moved: () => { if (scene) { scene.fresh = true; schedule(); } },
    change: (text, finished) => change({ draw: { ...state.draw, [state.target]: text } }, finished),
  });

  ui.target.addEventListener("change", () => change({ target: ui.target.value }));
  ui.arch.addEventListener("change", () => change({ arch: ui.arch.value }));
  ui.parameter.input.addEventListener("input", () => change({ p: +ui.parameter.input.value }));
  ui.steps.input.addEventListener("input", () => change({ steps: STEPS[+ui.steps.input.value] }));
  ui.time.input.addEventListener("input", () => change({ at: +ui.time.input.value }));
  ui.own.addEventListener("click", () => {
    const { kind, sketch } = targets[state.target];
    change({ target: (kind === "images") === (sketch === undefined) ? "pixels" : "drawn" });
    ui.panels.data.canvas.focus();
    ui.panels.data.node.scrollIntoView({ block: "nearest" });
  });
  ui.again.addEventListener("click", () => { change({ seed: state.seed + 1 }); });
  ui.play.addEventListener("click", () => {
    if (playing) { halt(); schedule(); return; }
    const from = state.at >= TICKS ? 0 : state.at;
    // no motion without a wish for it: one step for each press
    if (still.matches) return change({ at: state.at >= TICKS ? 0 : Math.min(TICKS, Math.ceil(((Math.floor((from / TICKS) * state.steps + 1e-9) + 1) / state.steps) * TICKS)) });
    state = { ...state, at: from };
    playing = { at: (from / TICKS) * state.steps, last: 0 };
    ui.play.setAttribute("aria-pressed", "true");
    schedule();
  });
  ui.link.addEventListener("click", async () => {
    const text = linked ? `${location.href.split("#")[0]}#${KEY}=${asText(state)}` : code(state, scene);
    ui.by_hand.hidden = true;
    try {
      await navigator.clipboard.writeText(text);
      say("Copied.");
    } catch {
      Object.assign(ui.by_hand, { hidden: false, value: text });
      ui.by_hand.select();
      say("Copy it from the field below.");
    }
  });

  const followAddress = () => {
    const text = stateInAddress();
    if (text === null || text === asText(state)) return;
    halt();
    state = sane(fromText(text, state), targets);
    prepare();
    schedule();
  };
  const redraw = () => { colours = null; scene.fresh = true; schedule(); };
  const sizes = new ResizeObserver(redraw), theme = new MutationObserver(redraw), system = matchMedia("(prefers-color-scheme: dark)");
  sizes.observe(ui.picture);
  for (const node of [document.documentElement, document.body]) theme.observe(node, { attributes: true });
  system.addEventListener("change", redraw);
  if (linked) addEventListener("hashchange", followAddress);
  prepare();
  draw(performance.now());
  if (linked && stateInAddress() !== null) setTimeout(() => ui.root.scrollIntoView({ block: "start" }), 150);
  return () => {
    sizes.disconnect();
    theme.disconnect();
    system.removeEventListener("change", redraw);
    removeEventListener("hashchange", followAddress);
    cancelAnimationFrame(frame);
    clearTimeout(speak);
    clearTimeout(silence);
  };
}

// A state whose names exist and fit together; a parameter of null becomes the architecture's own start.
function sane(state, targets, fallback = "affine") {
  const target = Object.hasOwn(targets, state.target) ? state.target : "ring", { kind, make, shape, sketch } = targets[target];
  const fits = (name) => Object.hasOwn(ARCHITECTURES, name) && ARCHITECTURES[name].kinds.includes(kind);
  const arch = [state.arch, fallback, "affine"].find(fits), { parameter } = ARCHITECTURES[arch];
  if (!parameter) return { ...state, target, arch, p: 1 };
  const problem = { kind, data: kind === "plane" ? { n: POINTS, d: 2 } : make(sketch && state.draw?.[target]), shape };
  const p = Math.max(parameter.low(problem), Math.min(parameter.high(problem), state.p ?? parameter.start));
  return { ...state, target, arch, p };
}

// Images that Python sent: bytes, 0 … 255 for -1 … 1.
function imagesTarget({ label, the, count, shape }, view) {
  const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength), d = shape[0] * shape[1];
  const data = dataset(Float64Array.from(bytes.subarray(0, count * d), (v) => v / 127.5 - 1), d);
  return { label, the, kind: "images", shape, make: () => data };
}

const percent = (share) => `${(100 * share).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`;

// The numbers under the picture, of the finished samples.
function factsOf({ run, problem, orbit: group }) {
  const { data } = problem, end = run.path[run.path.length - 1], { ratio, escaped, root } = spreadOf(end, data);
  const facts = [root > 0 ? ["variance, generated : target", ratio.toFixed(2)] : ["variance of the target", "0"]];
  if (problem.kind !== "line" || data.n < 30) facts.push([`copies of a ${problem.kind === "images" ? "training image" : "data point"}`, percent(copiedShare(end, data, 1e-3 * (root || 1)))]);
  if (group) facts.push([`copies up to a ${symmetry[problem.kind][0]}`, percent(copiedShare(end, group, 1e-3 * (root || 1)))]);
  if (problem.kind === "line") facts.push(["kurtosis, target", kurtosis(data.x, data.w).toFixed(2)], ["kurtosis, generated", kurtosis(end).toFixed(2)]);
  if (escaped > 0) facts.push(["escaped far away (left out above)", percent(escaped)]);
  return facts;
}

// Fourth standardised moment: 3 for a Gaussian. Numbers beyond 100 are left out.
function kurtosis(x, w = new Float64Array(x.length).fill(1)) {
  const kept = Array.from(x, (v, i) => [v, w[i]]).filter(([v]) => Math.abs(v) < 100), total = kept.reduce((s, [, u]) => s + u, 0);
  const mean = kept.reduce((s, [v, u]) => s + u * v, 0) / total, m = (k) => kept.reduce((s, [v, u]) => s + u * (v - mean) ** k, 0) / total;
  return m(4) / m(2) ** 2;
}

// The call that makes this figure again, for places without an address.
function code({ target, arch, p, steps, seed, draw }, { architecture }) {
  const options = [`"${target}"`, `"${arch}"`, ...(architecture.parameter ? [`parameter=${p}`] : []), `steps=${steps}`, `seed=${seed}`];
  const given = target === "images" ? ", images=..." : draw?.[target] ? `, drawing="${draw[target]}"` : "";
  return `dc.widgets.Playground(${options.join(", ")}${given})`;
}
