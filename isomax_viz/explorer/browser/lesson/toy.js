// Toy: a small network on points of the plane, trained in the page as iv.train_toy trains it, step by step.
import { sum } from "../numbers.js";
const WIDTH = 64, BATCH = 50, RATE = 0.01, DECAY = 1e-4, RISE = 0.2, ENTROPIC_SCALE = 10;

/** PyTorch's generator on the CPU (a Mersenne twister) and what it draws: initial weights and the order of the points. */
export function generator(seed) {
  const words = new Uint32Array(624);
  let at = 624, spare = null;
  words[0] = seed;
  for (let k = 1; k < 624; k += 1) words[k] = Math.imul(1812433253, words[k - 1] ^ (words[k - 1] >>> 30)) + k;
  function next() {
    if (at === 624) {
      for (let k = 0; k < 624; k += 1) {
        const mixed = (words[k] & 0x80000000) | (words[(k + 1) % 624] & 0x7fffffff);
        words[k] = words[(k + 397) % 624] ^ (mixed >>> 1) ^ (mixed & 1 ? 0x9908b0df : 0);
      }
      at = 0;
    }
    let word = words[at];
    at += 1;
    word ^= word >>> 11;
    word ^= (word << 7) & 0x9d2c5680;
    word ^= (word << 15) & 0xefc60000;
    return (word ^ (word >>> 18)) >>> 0;
  }
  const whole53 = () => {
    const high = next(), low = next();
    return ((high & 0x1fffff) * 2 ** 32 + low) / 2 ** 53;
  };
  return {
    uniform: (n, bound) =>
      Float32Array.from({ length: n }, () => Math.fround((next() & 0xffffff) / 2 ** 24) * 2 * bound - bound),
    normal: (n) =>
      Float32Array.from({ length: n }, () => {
        if (spare !== null) {
          const kept = spare;
          spare = null;
          return kept;
        }
        const one = whole53(),
          other = whole53(),
          radius = Math.sqrt(-2 * Math.log1p(-other)),
          angle = 2 * Math.PI * one;
        spare = radius * Math.sin(angle);
        return radius * Math.cos(angle);
      }),
    permutation: (n) => {
      const order = Array.from({ length: n }, (_, k) => k);
      for (let k = 0; k < n - 1; k += 1) {
        const other = k + (next() % (n - k));
        [order[k], order[other]] = [order[other], order[k]];
      }
      return order;
    },
  };
}

const linear = (
  random,
  inputs,
  outputs,
) => [random.uniform(inputs * outputs, 1 / Math.sqrt(inputs)), random.uniform(outputs, 1 / Math.sqrt(inputs))];
export const START_OF_HEAD = {
  softmax: (random, classes) => {
    const [weight, bias] = linear(random, 2, classes);
    return { weight, bias };
  },
  isomax: (_random, classes) => ({ prototypes: new Float32Array(2 * classes) }),
  "isomax+": (random, classes) => ({ prototypes: random.normal(2 * classes), distance_scale: Float32Array.of(1) }),
};

export const lengthOf = (x, y) => Math.hypot(x, y) || 1;

/** Return logits and distances at a feature (x, y). */
function toyHead(loss, { weight, bias, prototypes, distance_scale: scale }, means, x, y) {
  const plus = loss === "isomax+", around = loss === "softmax" ? means : prototypes, length = plus ? lengthOf(x, y) : 1;
  const distances = Array.from({ length: around.length / 2 }, (_, j) => {
    const [px, py] = [around[2 * j], around[2 * j + 1]], own = plus ? lengthOf(px, py) : 1;
    return Math.hypot(x / length - px / own, y / length - py / own);
  });
  const logits = loss === "softmax"
    ? distances.map((_, j) => weight[2 * j] * x + weight[2 * j + 1] * y + bias[j])
    : distances.map((d) => -(plus ? Math.abs(scale[0]) : 1) * d);
  return { logits, distances };
}

/** Add to the gradients of the head for errors (of the class logits, at one feature); return the gradient of the feature. */
function headGradients(loss, head, gradients, errors, x, y) {
  let dx = 0, dy = 0;
  const plus = loss === "isomax+", length = plus ? lengthOf(x, y) : 1, [ux, uy] = [x / length, y / length];
  errors.forEach((error, j) => {
    if (loss === "softmax") {
      dx += error * head.weight[2 * j];
      dy += error * head.weight[2 * j + 1];
      gradients.weight[2 * j] += error * x;
      gradients.weight[2 * j + 1] += error * y;
      gradients.bias[j] += error;
      return;
    }
    const own = plus ? lengthOf(head.prototypes[2 * j], head.prototypes[2 * j + 1]) : 1,
      [px, py] = [head.prototypes[2 * j] / own, head.prototypes[2 * j + 1] / own];
    const d = Math.hypot(ux - px, uy - py),
      factor = -ENTROPIC_SCALE * (plus ? Math.abs(head.distance_scale[0]) : 1) * error;
    if (plus) gradients.distance_scale[0] -= ENTROPIC_SCALE * Math.sign(head.distance_scale[0]) * error * d;
    if (!d) return;
    const [gx, gy] = [(factor * (ux - px)) / d, (factor * (uy - py)) / d], along = plus ? gx * px + gy * py : 0;
    dx += gx;
    dy += gy;
    gradients.prototypes[2 * j] -= (gx - along * px) / own;
    gradients.prototypes[2 * j + 1] -= (gy - along * py) / own;
  });
  const along = plus ? dx * ux + dy * uy : 0;
  return [(dx - along * ux) / length, (dy - along * uy) / length];
}

/** A network of two hidden layers, two features and a head; points: [[x, y], ...]. */
export function toyNetwork(loss, classes, seed) {
  const random = generator(seed), head = START_OF_HEAD[loss](random, classes);
  const layers = [[2, WIDTH], [WIDTH, WIDTH], [WIDTH, 2]].map(([inputs, outputs]) => {
    const [weight, bias] = linear(random, inputs, outputs);
    return { inputs, outputs, weight, bias };
  });
  const made = { loss, head, layers, means: new Float32Array(2 * classes) };
  /** Return what each layer gives for one point: the last is the feature. */
  made.forward = (point) => {
    const values = [Float64Array.from(point)];
    layers.forEach(({ inputs, outputs, weight, bias }, l) => {
      const given = values[l], result = new Float64Array(outputs);
      for (let o = 0, at = 0; o < outputs; o += 1) {
        let total = bias[o];
        for (let i = 0; i < inputs; i += 1, at += 1) total += weight[at] * given[i];
        result[o] = l < 2 && total < 0 ? 0 : total;
      }
      values.push(result);
    });
    return values;
  };
  made.feature = (point) => made.forward(point)[3];
  made.at = ([x, y]) => toyHead(loss, head, made.means, x, y);
  return made;
}

/** Add the gradients of the cross-entropy of one point, divided by the number of points. */
function addGradients(network, point, label, n, gradients, ofHead) {
  const values = network.forward(point),
    [x, y] = values[3],
    { logits } = network.at(values[3]),
    scale = network.loss === "softmax" ? 1 : ENTROPIC_SCALE;
  const powers = logits.map((logit) => Math.exp(scale * (logit - Math.max(...logits)))), total = sum(powers);
  let error = Float64Array.from(
    headGradients(
      network.loss,
      network.head,
      ofHead,
      powers.map((power, j) => (power / total - Number(j === label)) / n),
      x,
      y,
    ),
  );
  for (let l = 2; l >= 0; l -= 1) {
    const { inputs, outputs, weight } = network.layers[l],
      given = values[l],
      before = new Float64Array(inputs),
      ofWeight = gradients[2 * l],
      ofBias = gradients[2 * l + 1];
    for (let o = 0; o < outputs; o += 1) {
      const wrong = error[o], at = o * inputs;
      if (wrong === 0) continue;
      ofBias[o] += wrong;
      for (let i = 0; i < inputs; i += 1) {
        ofWeight[at + i] += wrong * given[i];
        before[i] += wrong * weight[at + i];
      }
    }
    if (l) { for (let i = 0; i < inputs; i += 1) if (given[i] <= 0) before[i] = 0; }
    error = before;
  }
}

/** Move a tensor one step as AdamW does. */
function move(tensor, gradient, first, second, rate, step) {
  const ofFirst = 1 - 0.9 ** step, ofSecond = 1 - 0.999 ** step;
  for (let k = 0; k < tensor.length; k += 1) {
    first[k] += 0.1 * (gradient[k] - first[k]);
    second[k] += 0.001 * (gradient[k] * gradient[k] - second[k]);
    tensor[k] = tensor[k] * (1 - rate * DECAY) -
      ((rate / ofFirst) * first[k]) / (Math.sqrt(second[k] / ofSecond) + 1e-8);
  }
}

/** Train; yields the epoch after each. */
export function* toyTraining(network, points, labels, { epochs = 40, seed = 0 } = {}) {
  const tensors = [...network.layers.flatMap(({ weight, bias }) => [weight, bias]), ...Object.values(network.head)];
  const [first, second, gradients] = [0, 1, 2].map(() => tensors.map(({ length }) => new Float64Array(length)));
  const ofHead = Object.fromEntries(Object.keys(network.head).map((name, k) => [name, gradients[6 + k]]));
  const order = generator(seed), steps = epochs * Math.ceil(points.length / BATCH);
  let step = 0;
  for (let epoch = 1; epoch <= epochs; epoch += 1) {
    const mixed = order.permutation(points.length);
    for (let from = 0; from < mixed.length; from += BATCH) {
      const chosen = mixed.slice(from, from + BATCH),
        rate = RATE * Math.min((step + 1) / (RISE * steps), Math.max(0, 1 - step / steps) / (1 - RISE));
      gradients.forEach((gradient) => gradient.fill(0));
      chosen.forEach((k) => addGradients(network, points[k], labels[k], chosen.length, gradients, ofHead));
      step += 1;
      tensors.forEach((tensor, t) => move(tensor, gradients[t], first[t], second[t], rate, step));
    }
    meansOf(network, points, labels);
    yield epoch;
  }
}

/** Keep the class means of the features: SoftMax has no prototypes. */
function meansOf(network, points, labels) {
  const amounts = new Array(network.means.length / 2).fill(0), total = new Float64Array(network.means.length);
  points.forEach((point, k) => {
    const [x, y] = network.feature(point);
    amounts[labels[k]] += 1;
    total[2 * labels[k]] += x;
    total[2 * labels[k] + 1] += y;
  });
  total.forEach((value, k) => {
    network.means[k] = value / amounts[k >> 1];
  });
}
