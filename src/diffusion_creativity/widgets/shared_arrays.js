// Arrays from the block of bytes that packing.py wrote.

async function unpack(view, scene) {
  let bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  if (scene.deflated) {
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  }
  const cache = new Map();
  return (i) => {
    if (!cache.has(i)) cache.set(i, decode(bytes, scene.arrays[i]));
    return cache.get(i);
  };
}

// One array of the blob: flat for one axis, a list of rows for two, {data, shape} for more.
function decode(bytes, [offset, type, shape, low, step]) {
  const Typed = { u1: Uint8Array, u2: Uint16Array, f4: Float32Array, f8: Float64Array }[type];
  const size = shape.reduce((a, b) => a * b, 1);
  let flat = new Typed(bytes.slice(offset, offset + size * Typed.BYTES_PER_ELEMENT).buffer);
  if (step !== null) flat = Float32Array.from(flat, (v) => low + step * v);
  if (shape.length < 2) return flat;
  if (shape.length > 2) return { data: flat, shape };
  return Array.from({ length: shape[0] }, (_, i) => flat.subarray(i * shape[1], (i + 1) * shape[1]));
}

function resolve(value, arrays) {
  if (Array.isArray(value)) return value.map((v) => resolve(v, arrays));
  if (!value || typeof value !== "object") return value;
  if ("$" in value) return arrays(value.$);
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, resolve(v, arrays)]));
}
