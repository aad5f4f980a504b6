// Brings the figures of a page to life from the widget state that is saved in it. All figures of the
// book are anywidgets, and no kernel answers here, so this is all there is to a widget manager.
(() => {
  const TYPE = "application/vnd.jupyter.widget-";
  const saved = (kind) => [...document.querySelectorAll(`script[type="${TYPE}${kind}+json"]`)];
  const modules = new Map();

  // A module from its text, once for all figures that share it.
  function load(source) {
    if (!modules.has(source)) {
      const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
      modules.set(source, import(url).then((module) => module.default));
    }
    return modules.get(source);
  }

  function bytes(base64) {
    const text = atob(base64), array = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) array[i] = text.charCodeAt(i);
    return new DataView(array.buffer);
  }

  // The traits of one figure with anywidget's interface: get, set, on, off, save_changes.
  function modelOf({ state, buffers = [] }) {
    const traits = { ...state }, heard = new Map();
    for (const { path: [name], data } of buffers) traits[name] = bytes(data);
    return {
      get: (name) => traits[name],
      set(name, value) {
        traits[name] = value;
        for (const tell of heard.get(`change:${name}`) || []) tell();
      },
      on: (event, tell) => heard.set(event, (heard.get(event) || new Set()).add(tell)),
      off: (event, tell) => heard.get(event)?.delete(tell),
      save_changes() {},
    };
  }

  function addStyle(text) {
    const styles = [...document.head.querySelectorAll("style[data-figure]")];
    if (styles.some((style) => style.textContent === text)) return;
    const style = document.createElement("style");
    style.dataset.figure = "";
    style.textContent = text;
    document.head.append(style);
  }

  async function show(view, models) {
    const place = document.createElement("div");
    const model = modelOf(models[JSON.parse(view.textContent).model_id]);
    addStyle(model.get("_css"));
    const figure = await load(model.get("_esm"));
    view.before(place);
    await figure.render({ model, el: place });
  }

  async function showAll() {
    const models = Object.assign({}, ...saved("state").map((script) => JSON.parse(script.textContent).state));
    for (const view of saved("view")) {
      try {
        await show(view, models);
      } catch (error) {
        console.error("Figure:", error);
      }
      document.dispatchEvent(new Event("first-figure")); // later.js waits for it
      await new Promise((next) => setTimeout(next)); // the reader comes first
    }
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", showAll);
  else showAll();
})();
