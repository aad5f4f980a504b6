// The sheet on which a reader draws a target: with the mouse, a finger, or the keyboard.

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
const HELP = {
  strokes: "Draw with mouse or finger. Keys: arrows move the pen (with Shift, farther), Space lowers or lifts it, Backspace undoes.",
  pixels: "Click or touch pixels. Keys: arrows go from pixel to pixel, Space changes one, Backspace undoes.",
};

// `change(text, finished)` hears of each change of the drawing, `moved()` of the cursor, and
// `say(words)` of what a screen reader should tell.
function makeSheet(panel, id, { change, moved, say }) {
  const { canvas } = panel, help = h("p", { class: "dcp-note dcp-help", id: `${id}-help` });
  const button = (label, act) => { const b = h("button", { type: "button", class: "dcp-button" }, label); b.addEventListener("click", act); return b; };
  const add = button("Add image", () => editImages((all) => [...all, Array(64).fill(0)], "added"));
  const remove = button("Remove image", () => editImages((all) => all.filter((_, k) => k !== spot[0]), "removed"));
  const tools = h("div", { class: "dcp-tools" }, button("Undo", undo), button("Clear", clear), add, remove);
  // `text` is what is drawn, `kept` what it was before the gesture in hand, `past` what to undo.
  let kind = null, text = "", kept = "", past = [], pointer = null;
  let at = [32, 32], live = null; // strokes: place of the pen, corners of the stroke in hand
  let spot = [0, 3, 3], paint = null; // images: which image, row, column; what is painted

  const images = () => imagesOf(text), across = () => Math.ceil(Math.sqrt(images().length)), inkAt = ([k, row, column]) => images()[k][8 * row + column];
  const place = () => (kind === "strokes" ? `column ${at[0] + 1}, row ${SHEET.side - at[1]} of ${SHEET.side}` : `image ${spot[0] + 1} of ${images().length}, row ${spot[1] + 1}, column ${spot[2] + 1}: ${inkAt(spot) ? "ink" : "paper"}`);

  const begin = () => { kept = text; };
  function preview(next) { if (next !== text) change(text = next, false); }
  function finish() {
    [live, paint] = [null, null];
    if (text === kept) return;
    past = [...past.slice(-199), kept];
    change(text, true);
    if (kind === "pixels") spot[0] = Math.min(spot[0], images().length - 1);
  }
  function commit(next) { begin(); text = next; finish(); }

  function undo() {
    const unfinished = live !== null;
    if (unfinished) live = null;
    else if (!past.length) return say("Nothing to undo.");
    change(text = unfinished ? kept : past.pop(), true);
    if (kind === "pixels") spot[0] = Math.min(spot[0], images().length - 1);
    say("Undone.");
  }

  function clear() {
    finish();
    commit(kind === "strokes" ? "s1" : textOfImages([Array(64).fill(0)]));
    say(kind === "strokes" ? "The sheet is empty: it counts as one dot in the middle." : "One empty image is left.");
  }

  function editImages(edit, words) {
    const all = edit(images());
    if (!all.length || all.length > SHEET.images) return say(`A sheet holds 1 to ${SHEET.images} images.`);
    commit(textOfImages(all));
    if (words === "added") spot = [all.length - 1, 3, 3];
    say(`Image ${words}: ${all.length} on the sheet.`);
    moved();
  }

  // ---- strokes; the first one replaces the example

  function lower(corner) {
    begin();
    live = [corner];
    extend();
  }

  function extend() {
    const old = kept === EXAMPLE.strokes ? [] : strokesOf(kept), short = fitted(live, SHEET.corners - old.reduce((s, stroke) => s + stroke.length, 0));
    if (short) return preview(textOfStrokes([...old, short]));
    finish();
    say("The sheet is full: undo or clear.");
  }

  function corner({ clientX, clientY }) {
    const box = canvas.getBoundingClientRect(), inside = (v) => Math.max(0, Math.min(SHEET.side - 1, Math.floor(v * SHEET.side)));
    return [inside((clientX - box.left) / box.width), inside((box.bottom - clientY) / box.height)];
  }

  function draw(event) {
    const count = live.length, passed = event.getCoalescedEvents?.() ?? [];
    for (const one of passed.length ? passed : [event]) {
      at = corner(one);
      const [c, r] = live[live.length - 1];
      if (c !== at[0] || r !== at[1]) live.push(at);
    }
    if (live.length > count) extend();
  }

  // ---- pixels of images that lie side by side, nine units each

  function pixelAt({ clientX, clientY }) {
    const box = canvas.getBoundingClientRect(), n = across(), unit = box.width / (9 * n + 1);
    const u = Math.floor((clientX - box.left) / unit) - 1, v = Math.floor((clientY - box.top) / unit) - 1, k = Math.floor(v / 9) * n + Math.floor(u / 9);
    return u < 0 || v < 0 || u >= 9 * n || u % 9 > 7 || v % 9 > 7 || k >= images().length ? null : [k, v % 9, u % 9];
  }

  function withPixel([k, row, column], value) {
    const all = images();
    all[k][8 * row + column] = value;
    return textOfImages(all);
  }

  function walk([du, dv]) {
    const n = across(), u = (spot[0] % n) * 8 + spot[2] + du, v = Math.floor(spot[0] / n) * 8 + spot[1] - dv, k = Math.floor(v / 8) * n + Math.floor(u / 8);
    if (u >= 0 && v >= 0 && u < 8 * n && k < images().length) spot = [k, v % 8, u % 8];
  }

  // ---- mouse and finger

  canvas.addEventListener("pointerdown", (event) => {
    if (!kind || pointer !== null || event.button > 0) return;
    const found = kind === "pixels" ? pixelAt(event) : null;
    finish();
    pointer = event.pointerId;
    canvas.setPointerCapture(pointer);
    if (kind === "strokes") return lower(at = corner(event));
    begin();
    if (found) preview(withPixel(spot = found, paint = 1 - inkAt(found)));
  });
  canvas.addEventListener("pointermove", (event) => {
    if (event.pointerId !== pointer) return;
    if (live) return draw(event);
    const found = paint === null ? null : pixelAt(event);
    if (found) preview(withPixel(spot = found, paint));
  });
  const release = (event) => {
    if (event.pointerId !== pointer) return;
    pointer = null;
    finish();
  };
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);

  // ---- keyboard

  function press({ key, shiftKey, ctrlKey, metaKey, altKey }) {
    if (altKey || ((ctrlKey || metaKey) && key !== "z")) return false;
    if (key === "Backspace" || key === "Delete" || (key === "z" && (ctrlKey || metaKey))) undo();
    else if (key === "Escape" && live) { finish(); say("Pen up."); }
    else if (key === " " || key === "Enter") {
      if (kind === "pixels") commit(withPixel(spot, 1 - inkAt(spot)));
      else if (live) finish();
      else lower(at);
      say(kind === "pixels" ? place() : `Pen ${live ? "down" : "up"}, ${place()}`);
    } else if (key in ARROWS) {
      const step = shiftKey ? 8 : 2;
      if (kind === "pixels") walk(ARROWS[key]);
      else at = at.map((v, i) => Math.max(0, Math.min(SHEET.side - 1, v + step * ARROWS[key][i])));
      if (live) { live.push(at); extend(); }
      say(kind === "pixels" ? place() : `Pen ${live ? "down" : "up"}, ${place()}`);
    } else return false;
    moved();
    return true;
  }
  canvas.addEventListener("keydown", (event) => { if (kind && pointer === null && press(event)) event.preventDefault(); });
  canvas.addEventListener("blur", () => { if (pointer === null) finish(); moved(); });
  canvas.addEventListener("focus", moved);

  // Lay a sheet of some kind on the panel, or none.
  function lay(next) {
    finish();
    [kind, past] = [next, []];
    const role = { tabindex: "0", role: "application", "aria-roledescription": "drawing sheet", "aria-describedby": help.id, "aria-label": "Sheet: draw a target" };
    for (const [name, value] of Object.entries(role)) if (kind) canvas.setAttribute(name, value); else canvas.removeAttribute(name);
    canvas.setAttribute("aria-hidden", String(!kind)); // the text of the picture describes it where it is no sheet
    canvas.classList.toggle("dcp-sheet", kind !== null);
    if (!kind) { help.remove(); tools.remove(); return; }
    help.textContent = HELP[kind];
    add.hidden = remove.hidden = kind !== "pixels";
    panel.node.append(help, tools);
  }

  return {
    get busy() { return pointer !== null; }, // with the keyboard each key is a pause
    show(next, now) {
      if (next !== kind) lay(next);
      if (kind && !live && pointer === null && now !== text) { text = kept = now; if (kind === "pixels") spot[0] = Math.min(spot[0], images().length - 1); }
    },
    draw({ data }, colours) {
      const area = pen(canvas, colours), { c, w } = area, cursor = document.activeElement === canvas && canvas.matches(":focus-visible");
      if (kind === "strokes") clouds(area, SHEET.half, colours, [[data.x, colours.data, 1.6, 0.75]]);
      else contactSheet(area, images(), across(), colours);
      if (!cursor) return;
      Object.assign(c, { strokeStyle: colours.generated, lineWidth: 2 });
      c.beginPath();
      if (kind === "strokes") {
        const x = ((at[0] + 0.5) * w) / SHEET.side, y = area.h - ((at[1] + 0.5) * area.h) / SHEET.side, r = live ? 4 : 8;
        for (const [u, v] of [[r, 0], [0, r]]) { c.moveTo(x - u, y - v); c.lineTo(x + u, y + v); }
      } else {
        const unit = w / (9 * across() + 1);
        c.rect((1 + 9 * (spot[0] % across()) + spot[2]) * unit, (1 + 9 * Math.floor(spot[0] / across()) + spot[1]) * unit, unit, unit);
      }
      c.stroke();
    },
  };
}

// All images of a sheet side by side, pixel by pixel, with lines between the pixels.
function contactSheet({ c, w }, images, across, colours) {
  const unit = w / (9 * across + 1), left = (k) => (1 + 9 * (k % across)) * unit, top = (k) => (1 + 9 * Math.floor(k / across)) * unit;
  images.forEach((bits, k) => {
    bits.forEach((bit, p) => {
      c.fillStyle = bit ? "#ffffff" : "#000000";
      c.fillRect(left(k) + (p % 8) * unit, top(k) + (p >> 3) * unit, unit - 0.5, unit - 0.5);
    });
    c.strokeStyle = colours.edge;
    c.strokeRect(left(k) - 0.5, top(k) - 0.5, 8 * unit + 0.5, 8 * unit + 0.5);
  });
}
