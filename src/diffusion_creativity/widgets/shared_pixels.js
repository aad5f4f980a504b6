// Pixels: palettes, heat maps and grids of images.

const PALETTES = {
  gray: ["#000000", "#ffffff"],
  ink: ["#ffffff", "#000000"],
  sequential: ["#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30", "#fde725"],
  diverging: ["#2166ac", "#67a9cf", "#d1e5f0", "#f7f7f7", "#fddbc7", "#ef8a62", "#b2182b"],
};
const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));

// 256 colours between the stops of a palette, or the categorical colours as the theme has them now.
function colours(name, root) {
  if (name === "categorical") {
    const style = getComputedStyle(root);
    return Array.from({ length: 12 }, (_, i) => rgb(style.getPropertyValue(`--dc-cat${i}`).trim()));
  }
  const stops = (Array.isArray(name) ? name : PALETTES[name]).map(rgb);
  if (Array.isArray(name)) return stops;
  return Array.from({ length: 256 }, (_, i) => {
    const t = (i / 255) * (stops.length - 1), k = Math.min(Math.floor(t), stops.length - 2);
    return stops[k].map((c, j) => c + (t - k) * (stops[k + 1][j] - c));
  });
}

function drawHeat(p, m, ax, root) {
  const z = rows(m.z), high = z.length, wide = z[0].length, palette = colours(m.palette, root), { canvas } = p;
  Object.assign(canvas, { width: wide, height: high, hidden: false });
  const context = canvas.getContext("2d"), image = context.createImageData(wide, high);
  for (let i = 0; i < high; i++)
    for (let j = 0; j < wide; j++) {
      const v = z[high - 1 - i][j]; // the first row of the map is the lowest
      const c = m.vmin == null ? palette[v % palette.length] : palette[Math.round(Math.max(0, Math.min(1, (v - m.vmin) / (m.vmax - m.vmin))) * (palette.length - 1))];
      image.data.set([...c, 255], 4 * (i * wide + j));
    }
  context.putImageData(image, 0, 0);
  const [x0, x1, y0, y1] = m.extent, a = ax.x(x0), b = ax.y(y1);
  Object.assign(canvas.style, { left: `${a}px`, top: `${b}px`, width: `${ax.x(x1) - a}px`, height: `${ax.y(y0) - b}px`, opacity: m.opacity ?? 1 });
}

function drawImages(p, m, root) {
  const { shape: [count, high, wide] } = m.data, columns = Math.min(m.columns, count), lines = Math.ceil(count / columns);
  const width = Math.max(120, p.node.clientWidth || 480), gap = columns > 12 ? 2 : 4, label = m.labels ? 16 : 0;
  const cell = Math.max(4, Math.min(m.cell, Math.floor((width - gap * (columns - 1)) / columns))), tall = Math.round((cell * high) / wide);
  const full = [columns * (cell + gap) - gap, lines * (tall + gap + label) - gap], marks = [];
  const places = Array.from({ length: count }, (_, k) => [(k % columns) * (cell + gap), Math.floor(k / columns) * (tall + gap + label)]);
  Object.assign(p.plot.style, { width: `${full[0]}px`, height: `${full[1]}px` });
  paintImages(p.canvas, full, [{ m, places, size: [cell, tall] }], root);
  places.forEach(([x, y], k) => {
    if (m.labels) marks.push(`<text class="dc-tick" x="${x + cell / 2}" y="${y + tall + 12}" text-anchor="middle">${esc(m.labels[k])}</text>`);
    if (m.outline?.[k]) marks.push(`<rect x="${x - 1}" y="${y - 1}" width="${cell + 2}" height="${tall + 2}" rx="2" fill="none" stroke="${color(m.outline[k])}" stroke-width="2.5"/>`);
  });
  p.plot.lastChild.innerHTML = `<svg width="${full[0]}" height="${full[1]}" overflow="visible" aria-hidden="true">${marks.join("")}</svg>`;
}

// Images of one or more marks at their places, in CSS pixels, on a canvas of the size `full`.
function paintImages(canvas, full, sheets, root) {
  const sharp = Math.max(1, Math.round(devicePixelRatio || 1)), context = canvas.getContext("2d");
  Object.assign(canvas, { width: full[0] * sharp, height: full[1] * sharp });
  Object.assign(canvas.style, { position: "static", width: `${full[0]}px`, height: `${full[1]}px` });
  context.imageSmoothingEnabled = false;
  for (const { m, places, size } of sheets) {
    const { data, shape: [, high, wide, channels = 1] } = m.data, palette = colours(m.palette, root);
    const tile = h("canvas", { width: wide, height: high }), pen = tile.getContext("2d"), image = pen.createImageData(wide, high);
    places.forEach(([x, y], k) => {
      for (let i = 0; i < high * wide; i++) {
        const v = (c) => Math.max(0, Math.min(255, Math.round((255 * (data[(k * high * wide + i) * channels + c] - m.vmin)) / (m.vmax - m.vmin))));
        image.data.set(channels === 3 ? [v(0), v(1), v(2), 255] : [...palette[v(0)], 255], 4 * i);
      }
      pen.putImageData(image, 0, 0);
      context.drawImage(tile, x * sharp, y * sharp, size[0] * sharp, size[1] * sharp);
    });
  }
}
