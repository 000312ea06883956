// Source: where numbers come from, whether a kernel answers or the page holds them already.
const TYPES = { f4: Float32Array, i4: Int32Array, u1: Uint8Array };

export async function whole(bytes) {
  const stream = new Response(bytes).body.pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
export const inflated = (text) => whole(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)));

/** Return float32 values from the steps between their order keys, which lie in four planes of bytes. */
export function fromSteps(bytes) {
  const n = bytes.length / 4, bits = new Uint32Array(n);
  for (let k = 0, key = 0; k < n; k += 1) {
    const step = (bytes[k] | (bytes[n + k] << 8) | (bytes[2 * n + k] << 16) | (bytes[3 * n + k] << 24)) >>> 0;
    key = k ? key + step : step | 0;
    bits[k] = key < 0 ? -key + 0x80000000 : key;
  }
  return new Float32Array(bits.buffer);
}

function revived(value, buffers) {
  if (value === null || typeof value !== "object") return value;
  if (Array.isArray(value)) return value.map((item) => revived(item, buffers));
  if ("buffer" in value && "type" in value) {
    const bytes = buffers[value.buffer], plain = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (value.type === "steps") return fromSteps(plain);
    return new TYPES[value.type](plain.slice().buffer);
  }
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, revived(item, buffers)]));
}

const KEPT = 256; // answers, those that were used last

/** Return get(request), what is known already, and load(request), a promise; many answers are kept. */
export function source({ saved, ask }) {
  const known = new Map(), coming = new Map();
  const keep = (key, answer) => {
    known.delete(key);
    known.set(key, answer);
    if (known.size > KEPT) known.delete(known.keys().next().value);
    return answer;
  };
  const get = (request) => {
    const key = JSON.stringify(request);
    return known.has(key) ? keep(key, known.get(key)) : undefined;
  };
  const fetched = async (key, request) => {
    if (saved && Object.hasOwn(saved.answers, key)) {
      const { json, buffers } = saved.answers[key];
      return { json, buffers: await Promise.all(buffers.map((place) => inflated(saved.buffers[place]))) };
    }
    if (!ask) throw new Error("This page does not hold these numbers; a running kernel would.");
    return ask(request);
  };
  const load = (request) => {
    const key = JSON.stringify(request), answer = get(request);
    if (answer) return Promise.resolve(answer);
    if (!coming.has(key)) {
      coming.set(
        key,
        fetched(key, request).then(({ json, buffers }) => {
          const answer = revived(json, buffers);
          for (const [name, values] of Object.entries(answer.columns || {})) {
            const all = values instanceof Float32Array;
            const sorted = all
              ? values.slice().sort()
              : values.negated
              ? values.sorted.map((value) => -value).reverse()
              : values.sorted;
            answer.columns[name] = { values: all ? values : null, sorted };
          }
          return keep(key, answer);
        }).finally(() => coming.delete(key)),
      );
    }
    return coming.get(key);
  };
  return {
    load,
    get,
    offers: (request) => Boolean(ask) || Boolean(saved && Object.hasOwn(saved.answers, JSON.stringify(request))),
  };
}
