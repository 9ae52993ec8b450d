// Pictures over the whole recording: the waveform, the maps, the lattice and the words.
function drawWave(canvas) {
  const { pen, width, height } = sheet(canvas);
  pen.fillStyle = colour("sound");
  for (let x = 0; x < width; x++) {
    let low = 0, high = 0;
    const from = Math.floor((x * L) / width), to = Math.max(from + 1, Math.floor(((x + 1) * L) / width));
    for (let i = from; i < to && i < L; i++) {
      low = Math.min(low, samples[i]);
      high = Math.max(high, samples[i]);
    }
    const y = (value) => height / 2 - (value / loudest) * (height / 2 - 4);
    pen.fillRect(x, y(high), 1, Math.max(1, y(low) - y(high)));
  }
}

function drawMap(canvas, name, left = 0, width = T * hop, which = 0) {
  const map = data.maps[name], size = map.rows * map.columns;
  const levels = map.levels.subarray(which * size, (which + 1) * size);
  paint(canvas, levels, map.rows, map.columns, palette(map.signed));
  canvas.parentElement.classList.add("map");
  place(canvas, left, width);
}

function drawLattice(canvas) {
  const { pen, width, height } = sheet(canvas);
  const n = lattice.places.length, across = (width * hop) / L, down = height / n;
  const span = 2 * lattice.half + 1;
  pen.fillStyle = colour("features");
  for (let frame = 0; frame < T; frame++) {
    for (let k = 0; k < span; k++) {
      const p = lattice.band[frame * span + k] / 255, s = lattice.path[frame] + k - lattice.half;
      if (p < 0.02 || s < 0 || s >= n) continue;
      pen.globalAlpha = 0.15 + 0.6 * p;
      pen.fillRect(frame * across, s * down, Math.max(1, across), Math.max(2, down));
    }
  }
  pen.globalAlpha = 1;
  pen.strokeStyle = colour("text");
  pen.lineWidth = 2;
  pen.beginPath();
  for (let frame = 0; frame < T; frame++) {
    const x = (frame + 0.5) * across, y = (lattice.path[frame] + 0.5) * down;
    frame ? pen.lineTo(x, y) : pen.moveTo(x, y);
  }
  pen.stroke();
}

function drawWords(canvas) {
  const { pen, width, height } = sheet(canvas);
  const across = (width * hop) / L;
  const fit = (text, space) => { // the whole text, or as much of it as fits
    if (pen.measureText(text).width <= space) return text;
    let cut = [...text];
    while (cut.length && pen.measureText(cut.join("") + "…").width > space) cut.pop();
    return cut.length ? cut.join("") + "…" : "";
  };
  pen.textBaseline = "middle";
  pen.textAlign = "center";
  data.words.forEach((word, i) => {
    const x = word.first * across, wide = (word.stop - word.first) * across, middle = x + wide / 2;
    const before = data.words[i - 2], after = data.words[i + 2]; // its neighbours in its row, of two
    const space = 2 * Math.min(middle - (before ? before.stop * across : 0), (after ? after.first * across : width) - middle) - 4;
    pen.fillStyle = colour("text");
    pen.globalAlpha = 0.2;
    pen.fillRect(x, 0, wide, height);
    pen.globalAlpha = 1;
    pen.fillRect(x, 0, 2, height);
    pen.fillStyle = colour("ink");
    pen.font = "600 15px system-ui, sans-serif";
    pen.fillText(fit(word.text, space), middle, height * (i % 2 ? 0.74 : 0.28));
  });
}
