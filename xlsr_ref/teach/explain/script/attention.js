// The attention weights of the chosen block and head, as a matrix and as one row.
function weightsOf(which) { // the levels of one head of the chosen block, or of their mean (-1)
  const mean = which < 0, n = mean ? attention.mean_n : attention.n;
  const at = (mean ? layer : layer * attention.heads + which) * n * n;
  const levels = (mean ? attention.meanLevels : attention.levels).subarray(at, at + n * n);
  const top = mean ? attention.mean_tops[layer] : attention.tops[layer * attention.heads + which];
  return { levels, n, top, block: mean ? attention.mean_block : attention.block };
}

function paintHead(canvas, which) {
  const { levels, n } = weightsOf(which);
  const counts = new Uint32Array(256);
  for (const level of levels) counts[level]++;
  let most = 255, above = 0;
  while (most > 1 && (above += counts[most]) < levels.length * 0.005) most--;
  paint(canvas, levels, n, n, palettes.sequential, (level) => Math.min(255, Math.round((255 * level) / most)));
}

function rowOf(frame) { // the weights of the frame at the cursor
  const { levels, n, top, block } = weightsOf(head);
  const row = Math.min(n - 1, Math.floor(frame / block));
  return { weights: Array.from(levels.subarray(row * n, (row + 1) * n), (level) => top * (level / 255) ** 2), block, row, n };
}

function drawAttentionRow(canvas, mark) {
  const { pen, width, height } = sheet(canvas);
  const { weights, block } = rowOf(t);
  const across = (width * hop * block) / L, most = Math.max(...weights, 1e-9);
  if (!mark) $("tallest").textContent = `${percent(most)}\u00a0%`;
  pen.fillStyle = colour("context");
  weights.forEach((weight, i) => {
    const tall = Math.sqrt(weight / most) * (height - 4);
    pen.fillRect(i * across, height - tall, Math.max(1, across - (across > 4 ? 1 : 0)), tall);
  });
  if (mark) {
    pen.fillStyle = colour("cursor");
    pen.fillRect(((t + 0.5) * hop * width) / L - 1, 0, 2, height);
  }
}

const matrix = document.querySelector("[data-matrix]");
const headName = () => (head < 0 ? `the mean of its ${attention.heads} heads` : `head ${head + 1}`);

function drawAttention() {
  const canvas = matrix.querySelector("canvas");
  paintHead(canvas, head);
  canvas.setAttribute("aria-label", `Attention of block ${layer + 1}, ${headName()}: a row for each frame that looks.`);
  document.querySelectorAll(".head").forEach((one) => paintHead(one.querySelector("canvas"), Number(one.querySelector("input").value)));
  const states = document.querySelector('[data-lane="states"] canvas');
  drawMap(states, "states", 0, T * hop, layer + 1);
  $("state-name").textContent = `After block ${layer + 1} of ${attention.layers}`;
  states.setAttribute("aria-label", `Hidden states after block ${layer + 1}: a heat map, a column for each frame.`);
}
