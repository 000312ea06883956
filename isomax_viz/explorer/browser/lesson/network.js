// Network: what a small trained network says about a picture, in plain typed arrays. It knows the files of
// data/networks: six 3x3 convolutions with batch normalisation, and a head of the papers.
import { sum } from "../numbers.js";
const EPSILON = 1e-5; // of PyTorch's batch normalisation

const HALVES = new Float32Array(1 << 16); // every half-precision number by its bits
for (let half = 0; half < HALVES.length; half += 1) {
  const exponent = (half >> 10) & 31, fraction = half & 1023;
  const size = exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -24 * fraction;
  HALVES[half] = half & 0x8000 ? -size : size;
}

function fromHalves(bits) {
  const values = new Float32Array(bits.length);
  for (let k = 0; k < bits.length; k += 1) values[k] = HALVES[bits[k]];
  return values;
}

/** Read a safetensors file: what it says of the network, and its half-precision tensors by name. */
export function fromSafetensors(bytes) {
  const start = 8 + Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const { __metadata__: about, ...entries } = JSON.parse(new TextDecoder().decode(bytes.subarray(8, start)));
  const halves = Object.entries(entries).filter(([, { dtype }]) => dtype === "F16");
  const tensors = halves.map((
    [name, { shape, data_offsets: [from, to] }],
  ) => [name, { shape, values: fromHalves(new Uint16Array(bytes.slice(start + from, start + to).buffer)) }]);
  return { about: JSON.parse(about.network), tensors: Object.fromEntries(tensors) };
}

/** Return convolutions with the batch normalisation behind them folded in; weights by tap, input, output. */
function foldedLayers(tensors) {
  const places = Object.keys(tensors).filter((name) => tensors[name].shape.length === 4)
    .map((name) => Number(name.split(".")[2])).sort((a, b) => a - b);
  return places.map((place, k) => {
    const { shape: [outputs, inputs], values } = tensors[`backbone.layers.${place}.weight`];
    const norm = (name) => tensors[`backbone.layers.${place + 1}.${name}`].values;
    const weights = new Float32Array(9 * inputs * outputs), offset = new Float32Array(outputs);
    for (let o = 0; o < outputs; o += 1) {
      const factor = norm("weight")[o] / Math.sqrt(norm("running_var")[o] + EPSILON);
      offset[o] = norm("bias")[o] - norm("running_mean")[o] * factor;
      for (let i = 0; i < inputs; i += 1) {
        for (let tap = 0; tap < 9; tap += 1) {
          weights[(tap * inputs + i) * outputs + o] = factor * values[(o * inputs + i) * 9 + tap];
        }
      }
    }
    // Convolution, normalisation and ReLU take three places; a fourth before the next convolution is a pooling.
    return { inputs, outputs, weights, offset, pooled: places[k + 1] - place === 4 };
  });
}

/** Convolve maps (row, column, channel) with zeros around them, and cut negative values. */
function convolved(maps, side, { inputs, outputs, weights, offset }) {
  const result = new Float32Array(side * side * outputs);
  for (let y = 0; y < side; y += 1) {
    for (let x = 0; x < side; x += 1) {
      const at = (y * side + x) * outputs;
      result.set(offset, at);
      for (let tap = 0; tap < 9; tap += 1) {
        const row = y + Math.floor(tap / 3) - 1, column = x + (tap % 3) - 1;
        if (row < 0 || row >= side || column < 0 || column >= side) continue;
        for (let i = 0; i < inputs; i += 1) {
          const value = maps[(row * side + column) * inputs + i], from = (tap * inputs + i) * outputs;
          if (value) { for (let o = 0; o < outputs; o += 1) result[at + o] += value * weights[from + o]; }
        }
      }
      for (let o = at; o < at + outputs; o += 1) if (result[o] < 0) result[o] = 0;
    }
  }
  return result;
}

function pooled(maps, side, channels) {
  const half = side >> 1, result = new Float32Array(half * half * channels);
  for (let k = 0; k < result.length; k += 1) {
    const channel = k % channels, place = (k - channel) / channels;
    const at = ((2 * Math.floor(place / half)) * side + 2 * (place % half)) * channels + channel,
      below_ = at + side * channels;
    result[k] = Math.max(maps[at], maps[at + channels], maps[below_], maps[below_ + channels]);
  }
  return result;
}

const unit = (vector) => {
  const length = Math.max(Math.hypot(...vector), 1e-12);
  return vector.map((value) => value / length);
};
const rowsIn = ({ shape: [rows, columns], values }) =>
  Array.from({ length: rows }, (_, k) => values.subarray(k * columns, (k + 1) * columns));
const distance = (one, other) => Math.sqrt(one.reduce((total, value, k) => total + (value - other[k]) ** 2, 0));

/**
 * Return from features to { logits, class_logits, distances, scale } for each loss: logits are minus scale times the
 * distances, but for SoftMax; means: class means, where there are no prototypes.
 */
const HEADS = {
  softmax: (tensor, means) => {
    const rows = rowsIn(tensor("linear.weight")), bias = tensor("linear.bias").values;
    return (features) => {
      const logits = rows.map((row, j) => row.reduce((total, value, k) => total + value * features[k], bias[j]));
      const distances = means.map((mean) => distance(features, mean));
      return { logits, class_logits: logits, distances, scale: null };
    };
  },
  isomax: (tensor) => {
    const prototypes = rowsIn(tensor("prototypes"));
    return (features) => {
      const distances = prototypes.map((prototype) => distance(features, prototype)), logits = distances.map((d) => -d);
      return { logits, class_logits: logits, distances, scale: 1 };
    };
  },
  "isomax+": (tensor) => {
    const prototypes = rowsIn(tensor("prototypes")).map(unit), scale = Math.abs(tensor("distance_scale").values[0]);
    return (features) => {
      const length1 = unit(features), distances = prototypes.map((prototype) => distance(length1, prototype));
      const logits = distances.map((d) => -scale * d);
      return { logits, class_logits: logits, distances, scale };
    };
  },
  isomax2: (tensor) => {
    const prototypes = rowsIn(tensor("prototypes")),
      scales = tensor("class_scales").values,
      tilts = tensor("class_tilts").values;
    return (features) => {
      const distances = prototypes.map((prototype) => distance(features, prototype));
      return {
        logits: distances.map((d) => -d),
        class_logits: distances.map((d, j) => -scales[j] * d - tilts[j]),
        distances,
        scale: 1,
      };
    };
  },
};

/** Return probabilities and scores of one picture from its logits and distances. */
export function judged({ logits, distances }) {
  const top = Math.max(...logits), energy = top + Math.log(sum(logits.map((logit) => Math.exp(logit - top))));
  const logs = logits.map((logit) => logit - energy), probabilities = logs.map(Math.exp);
  return {
    probabilities,
    scores: {
      mps: Math.exp(top - energy),
      es: sum(logs.map((value, j) => value * probabilities[j])),
      mds: -Math.min(...distances),
      max_logit: top,
      energy,
    },
  };
}

/** Return what a network says about grey pixels (0 to 255): features, logits, distances, probabilities, scores, prediction. */
export function network(bytes, { mean, std, means }) {
  const { about, tensors } = fromSafetensors(bytes), layers = foldedLayers(tensors);
  const head = HEADS[about.loss]((name) => tensors[`head.${name}`], means);
  const judge = (pixels) => {
    let maps = Float32Array.from(pixels, (value) => (value / 255 - mean) / std), side = Math.sqrt(pixels.length);
    for (const layer of layers) {
      maps = convolved(maps, side, layer);
      if (layer.pooled) {
        maps = pooled(maps, side, layer.outputs);
        side >>= 1;
      }
    }
    const channels = layers[layers.length - 1].outputs, features = new Float64Array(channels);
    for (let k = 0; k < maps.length; k += 1) features[k % channels] += maps[k] / (side * side);
    const said = head(features);
    return {
      ...said,
      ...judged(said),
      features,
      prediction: said.class_logits.indexOf(Math.max(...said.class_logits)),
    };
  };
  return { loss: about.loss, judge };
}
