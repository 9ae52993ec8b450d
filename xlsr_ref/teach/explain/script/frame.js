// The frame at the cursor: the pictures of it alone, its scores, and what the page says of it.
const seconds = (frame) => ((frame * hop) / rate).toFixed(2);
const percent = (p) => (p >= 0.995 ? ">99" : p < 0.01 ? "<1" : Math.round(100 * p));
const named = (token) => (token === blank ? "blank" : labels[token] === "␣" ? "space" : `“${labels[token]}”`);
const wordAt = (frame) => data.words.findIndex((word) => frame >= word.first && frame < word.stop);
const bestOf = (frame) => ({ token: top.tokens[frame * top.count], p: top.p[frame * top.count] / 65535 });

function drawSamples(canvas) {
  const { pen, width, height } = sheet(canvas);
  const seen = samples.subarray(t * hop, t * hop + field);
  let most = 1;
  for (const sample of seen) most = Math.max(most, Math.abs(sample));
  pen.strokeStyle = colour("sound");
  pen.lineWidth = 1.3;
  pen.beginPath();
  seen.forEach((sample, i) => {
    const x = (i / Math.max(1, field - 1)) * width, y = height / 2 - (sample / most) * (height / 2 - 4);
    i ? pen.lineTo(x, y) : pen.moveTo(x, y);
  });
  pen.stroke();
}

function drawFeatures(canvas) {
  const { pen, width, height } = sheet(canvas);
  const map = data.maps.features, column = Math.min(map.columns - 1, Math.floor((t * map.columns) / T));
  const zero = map.signed ? 127.5 : 0, across = width / map.rows;
  pen.fillStyle = colour("features");
  for (let i = 0; i < map.rows; i++) { // channel 1 to the left
    const level = map.levels[(map.rows - 1 - i) * map.columns + column] - zero;
    const tall = (level / (map.signed ? 127.5 : 255)) * (map.signed ? height / 2 : height);
    const base = map.signed ? height / 2 : height;
    pen.fillRect(i * across, Math.min(base, base - tall), Math.max(1, across * 0.8), Math.abs(tall));
  }
}

function drawNear(canvas) {
  const { pen, width, height } = sheet(canvas);
  const n = lattice.places.length, span = 2 * lattice.half + 1;
  const frames = width < 500 ? 9 : 17, rows = Math.min(n, width < 500 ? 9 : 11), left = 30, bottom = 22;
  const first = clamp(t - (frames >> 1), 0, Math.max(0, T - frames)), shown = Math.min(frames, T);
  const begin = lattice.path[first], end = lattice.path[first + shown - 1];
  const middle = end - begin < rows ? (begin + end) >> 1 : lattice.path[t]; // the whole path, where it fits
  const upper = clamp(middle - (rows >> 1), 0, n - rows);
  const across = (width - left) / shown, down = (height - bottom) / rows;
  const x = (frame) => left + (frame - first + 0.5) * across, y = (s) => (s - upper + 0.5) * down;
  const p = (frame, s) => {
    const k = s - lattice.path[frame] + lattice.half;
    return k < 0 || k >= span ? 0 : lattice.band[frame * span + k] / 255;
  };
  pen.save();
  pen.beginPath();
  pen.rect(left, 0, width - left, height - bottom);
  pen.clip();
  const radius = 0.44 * Math.min(across, down), line = (a, b, c, d) => {
    pen.beginPath();
    pen.moveTo(a, b);
    pen.lineTo(c, d);
    pen.stroke();
  };
  pen.fillStyle = colour("lit");
  pen.fillRect(x(t) - across / 2, 0, across, height);
  pen.strokeStyle = colour("line");
  pen.lineWidth = 1;
  for (let frame = first + 1; frame < first + shown; frame++) {
    for (let s = upper; s < upper + rows; s++) {
      for (const step of [0, 1, 2]) {
        const from = s - step;
        if (from < upper) continue;
        const places = lattice.places;
        if (step === 2 && (places[s] === blank || places[s] === places[from])) continue;
        line(x(frame - 1), y(from), x(frame), y(s));
      }
    }
  }
  pen.strokeStyle = colour("text");
  pen.lineWidth = 4;
  for (let frame = first + 1; frame < first + shown; frame++) {
    line(x(frame - 1), y(lattice.path[frame - 1]), x(frame), y(lattice.path[frame]));
  }
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  for (let frame = first; frame < first + shown; frame++) {
    for (let s = upper; s < upper + rows; s++) {
      const probability = p(frame, s), on = lattice.path[frame] === s;
      pen.beginPath();
      pen.arc(x(frame), y(s), Math.max(2.5, radius * Math.sqrt(probability)), 0, 7);
      pen.fillStyle = colour(probability > 0.005 ? (on ? "text" : "features") : "line");
      pen.fill();
      if (radius * Math.sqrt(probability) > 8.5) {
        pen.fillStyle = colour("page");
        pen.font = `600 ${Math.min(13, radius * Math.sqrt(probability) * (probability > 0.994 ? 0.8 : 0.95))}px system-ui, sans-serif`;
        pen.fillText(Math.round(100 * probability), x(frame), y(s) + 0.5);
      }
    }
  }
  pen.restore();
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  pen.font = "600 15px system-ui, sans-serif";
  for (let s = upper; s < upper + rows; s++) {
    pen.fillStyle = colour(lattice.places[s] === blank ? "soft" : "ink");
    pen.fillText(labels[lattice.places[s]], 13, y(s));
  }
  pen.fillStyle = colour("soft");
  pen.font = "12px system-ui, sans-serif";
  const every = across < 26 ? 4 : 2;
  for (let frame = first; frame < first + shown; frame++) {
    if (frame === t || (frame % every === 0 && Math.abs(frame - t) * across > 26)) pen.fillText(frame, x(frame), height - 9);
  }
}

function showScores() {
  const rows = [];
  for (let i = 0; i < top.count; i++) {
    const row = document.createElement("div"), name = document.createElement("span");
    const lane = document.createElement("span"), bar = document.createElement("i"), number = document.createElement("b");
    const p = top.p[t * top.count + i] / 65535;
    name.textContent = labels[top.tokens[t * top.count + i]];
    bar.style.width = `${100 * p}%`;
    number.textContent = `${percent(p)}\u00a0%`;
    lane.append(bar);
    row.append(name, lane, number);
    rows.push(row);
  }
  $("f-scores").replaceChildren(...rows);
}

function looks() { // in words: where the frame looks most
  const { weights, block, row } = rowOf(t);
  const most = weights.indexOf(Math.max(...weights)), frame = Math.min(T - 1, most * block + (block >> 1));
  const where = most === row ? "at itself" : `at frame ${frame}, ${seconds(frame)}\u00a0s (${named(bestOf(frame).token)})`;
  return `most ${where}, ${percent(weights[most])}\u00a0%`;
}

function sentence() {
  const { token, p } = bestOf(t), word = wordAt(t);
  const inside = word < 0 ? "in no word" : `in the word “${data.words[word].text}”`;
  return `Frame ${t} of ${T - 1}, ${seconds(t)}\u00a0s: ${named(token)}, ${percent(p)}\u00a0%, ${inside}`;
}
