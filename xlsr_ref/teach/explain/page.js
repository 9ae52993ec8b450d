"use strict";
// One cursor, a frame t, over every picture. Pictures are drawn once and again when the window or the theme changes;
// moving the cursor moves a line, and draws what is shown of the frame itself.
(() => {
  const $ = (id) => document.getElementById(id);
  const data = JSON.parse($("data").textContent);
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const words16 = (text) => new Uint16Array(bytes(text).buffer);
  const clamp = (x, low, high) => Math.max(low, Math.min(high, x));
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const { L, T, rate, hop, field, labels, blank } = data;

  const palettes = Object.fromEntries(Object.entries(data.palettes).map(([name, text]) => [name, bytes(text)]));
  for (const map of Object.values(data.maps)) map.levels = bytes(map.data);
  const top = { count: data.top.count, tokens: words16(data.top.tokens), p: words16(data.top.probabilities) };
  const attention = data.attention;
  attention.levels = bytes(attention.data);
  attention.meanLevels = bytes(attention.mean);
  const lattice = data.lattice;
  lattice.path = words16(lattice.path);
  lattice.band = bytes(lattice.band);
  lattice.places = [blank, ...lattice.targets.flatMap((token) => [token, blank])];

  const audio = $("audio");
  const file = bytes(audio.src.slice(audio.src.indexOf(",") + 1));
  const samples = new Int16Array(file.buffer, 44);
  let loudest = 1;
  for (const sample of samples) loudest = Math.max(loudest, Math.abs(sample));
  audio.src = URL.createObjectURL(new Blob([file], { type: "audio/wav" }));

  let t = Number($("slider").value);
  let layer = Number($("layer").value);
  let head = -1; // the mean of all
  let pinned = false; // the reader chose the frame: playing begins there

  // --- colours and canvases ---------------------------------------------------------------------------------------

  const night = () => dark.matches && !document.documentElement.classList.contains("paper");
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const palette = (signed) => palettes[signed ? (night() ? "night" : "day") : "sequential"];

  function paint(canvas, levels, rows, columns, colours, scale = (level) => level) {
    canvas.width = columns;
    canvas.height = rows;
    const image = new ImageData(columns, rows);
    for (let i = 0; i < rows * columns; i++) {
      const level = 3 * scale(levels[i]);
      image.data.set([colours[level], colours[level + 1], colours[level + 2], 255], 4 * i);
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
  }

  function sheet(canvas) { // a canvas as sharp as the screen, in CSS pixels
    const box = canvas.getBoundingClientRect();
    const ratio = window.devicePixelRatio || 1;
    canvas.width = Math.max(1, Math.round(box.width * ratio));
    canvas.height = Math.max(1, Math.round(box.height * ratio));
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    pen.clearRect(0, 0, box.width, box.height);
    return { pen, width: box.width, height: box.height };
  }

  function place(canvas, left, width) { // in samples
    canvas.style.left = `${(100 * left) / L}%`;
    canvas.style.width = `${(100 * width) / L}%`;
  }

  // --- pictures over the whole recording --------------------------------------------------------------------------

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
    pen.fillStyle = colour("ink");
    pen.font = "600 14px system-ui, sans-serif";
    pen.textAlign = "left";
    pen.textBaseline = "middle";
    let bottom = -Infinity;
    data.characters.forEach((character, i) => { // letters to the right of the way, where there is room
      const y = (2 * i + 1.5) * down, x = character.stop * across + 5;
      if (y - bottom < 13) return;
      const wide = pen.measureText(character.text).width;
      pen.fillText(character.text, x + wide > width - 2 ? character.first * across - wide - 6 : x, clamp(y, 8, height - 8));
      bottom = y;
    });
  }

  function drawWords(canvas) {
    const { pen, width, height } = sheet(canvas);
    const across = (width * hop) / L;
    const fit = (text, room) => { // the whole text, or as much as there is room for
      if (pen.measureText(text).width <= room) return text;
      let cut = [...text];
      while (cut.length && pen.measureText(cut.join("") + "…").width > room) cut.pop();
      return cut.length ? cut.join("") + "…" : "";
    };
    pen.textBaseline = "middle";
    pen.textAlign = "center";
    data.words.forEach((word, i) => {
      const x = word.first * across, wide = (word.stop - word.first) * across, middle = x + wide / 2;
      const before = data.words[i - 2], after = data.words[i + 2]; // its neighbours in its row, of two
      const room = 2 * Math.min(middle - (before ? before.stop * across : 0), (after ? after.first * across : width) - middle) - 4;
      pen.fillStyle = colour("text");
      pen.globalAlpha = 0.2;
      pen.fillRect(x, 0, wide, height);
      pen.globalAlpha = 1;
      pen.fillRect(x, 0, 2, height);
      pen.fillStyle = colour("ink");
      pen.font = "600 15px system-ui, sans-serif";
      pen.fillText(fit(word.text, room), middle, height * (i % 2 ? 0.74 : 0.28));
    });
  }

  // --- attention --------------------------------------------------------------------------------------------------

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
    $("state-name").textContent = `Behind block ${layer + 1} of ${attention.layers}`;
    states.setAttribute("aria-label", `Hidden states behind block ${layer + 1}: a heat map, a column for each frame.`);
  }

  // --- the frame at the cursor ------------------------------------------------------------------------------------

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
    const middle = end - begin < rows ? (begin + end) >> 1 : lattice.path[t]; // the whole way, where it fits
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
      const room = document.createElement("span"), bar = document.createElement("i"), number = document.createElement("b");
      const p = top.p[t * top.count + i] / 65535;
      name.textContent = labels[top.tokens[t * top.count + i]];
      bar.style.width = `${100 * p}%`;
      number.textContent = `${percent(p)} %`;
      room.append(bar);
      row.append(name, room, number);
      rows.push(row);
    }
    $("f-scores").replaceChildren(...rows);
  }

  function looks() { // in words: where the frame looks most
    const { weights, block, row } = rowOf(t);
    const most = weights.indexOf(Math.max(...weights)), frame = Math.min(T - 1, most * block + (block >> 1));
    const where = most === row ? "at itself" : `at frame ${frame}, ${seconds(frame)} s (${named(bestOf(frame).token)})`;
    return `most ${where}, ${percent(weights[most])} %`;
  }

  function sentence() {
    const { token, p } = bestOf(t), word = wordAt(t);
    const inside = word < 0 ? "in no word" : `in the word “${data.words[word].text}”`;
    return `Frame ${t} of ${T - 1}, ${seconds(t)} s: ${named(token)}, ${percent(p)} %, ${inside}`;
  }

  const tracks = [...document.querySelectorAll(".track")];
  const chips = [...$("strip").children];
  const buttons = [...document.querySelectorAll("[data-word]")];
  let announcing = 0, waiting = false;

  function showFrame() {
    waiting = false;
    const left = (100 * t * hop) / L, seen = (100 * Math.min(field, L - t * hop)) / L;
    for (const track of tracks) {
      const lit = track.querySelector(".field"), narrow = track.dataset.lane !== "wave";
      track.querySelector(".cursor").style.left = `${left + (50 * hop) / L}%`;
      if (lit) {
        lit.style.left = `${left}%`;
        lit.style.width = `${narrow ? (100 * hop) / L : seen}%`;
      }
    }
    const { row, n } = rowOf(t);
    const lit = matrix.querySelector(".row");
    lit.style.top = `${(100 * row) / n}%`;
    lit.style.height = `${100 / n}%`;
    matrix.querySelector(".column").style.left = `${(100 * (row + 0.5)) / n}%`;
    drawAttentionRow(document.querySelector('[data-lane="attention"] canvas'), false);
    $("looks").textContent = `Frame ${t} in block ${layer + 1}, ${headName()}: it looks ${looks()}.`;
    drawSamples($("f-sound"));
    drawFeatures($("f-features"));
    drawAttentionRow($("f-looks"), true);
    if ($("near")) drawNear($("near"));
    showScores();
    const { token, p } = bestOf(t), word = wordAt(t), end = Math.min(L, t * hop + field);
    $("t-sound").textContent = `Samples ${(t * hop).toLocaleString("en")} to ${(end - 1).toLocaleString("en")}: ${Math.round((1000 * field) / rate)} ms from ${seconds(t)} s.`;
    $("t-features").textContent = `The row of frame ${t} in the features, channel by channel.`;
    $("t-looks").textContent = `Block ${layer + 1}, ${head < 0 ? "all heads" : headName()}: ${looks()}.`;
    $("f-character").textContent = labels[token];
    $("t-character").textContent = `${named(token)[0].toUpperCase()}${named(token).slice(1)}, ${percent(p)} %. In ${word < 0 ? "no word" : `“${data.words[word].text}”`}.`;
    document.querySelector(".strip .here")?.classList.remove("here");
    chips[t].classList.add("here");
    for (const button of buttons) button.classList.toggle("here", Number(button.dataset.word) === word);
    $("slider").value = t;
    $("slider").setAttribute("aria-valuetext", sentence());
    $("now").textContent = `${t} / ${T - 1} · ${seconds(t)} s · ${named(token)} ${percent(p)} %${word < 0 ? "" : ` · ${data.words[word].text}`}`;
  }

  function go(frame, { announce = false, seek = true, pin = false } = {}) {
    t = clamp(Math.round(frame), 0, T - 1);
    pinned = pin || (pinned && !seek);
    if (pin && !audio.paused) audio.currentTime = (t * hop) / rate;
    if (!waiting) {
      waiting = true;
      requestAnimationFrame(showFrame);
    }
    if (announce) {
      clearTimeout(announcing);
      announcing = setTimeout(() => { $("live").textContent = sentence(); }, 150);
    }
  }

  // --- pointing and keys ------------------------------------------------------------------------------------------

  function follow(element, frameAt) {
    element.addEventListener("pointermove", (event) => {
      if (event.pointerType === "mouse" && !event.buttons && !audio.paused) return; // playing moves the cursor
      if (event.pointerType !== "mouse" && !event.buttons) return;
      go(frameAt(event), { pin: event.buttons > 0 });
    });
    element.addEventListener("pointerdown", (event) => go(frameAt(event), { announce: true, pin: true }));
  }
  for (const track of tracks) {
    follow(track, (event) => {
      const box = track.getBoundingClientRect();
      return Math.floor((((event.clientX - box.left) / box.width) * L) / hop);
    });
  }
  follow(matrix, (event) => {
    const box = matrix.getBoundingClientRect();
    return Math.floor(((event.clientY - box.top) / box.height) * T);
  });
  for (const kind of ["pointerover", "pointerdown"]) {
    $("strip").addEventListener(kind, (event) => {
      const at = event.target.dataset.t;
      if (at !== undefined && (kind === "pointerdown" || audio.paused)) go(Number(at), { pin: kind === "pointerdown", announce: kind === "pointerdown" });
    });
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const at = event.target;
    if (at.closest("input, select, button, summary, a, audio")) return; // they have their own keys
    const far = event.shiftKey ? 10 : 1;
    const to = { ArrowLeft: t - far, ArrowRight: t + far, Home: 0, End: T - 1 }[event.key];
    if (to !== undefined && !(at === document.body && (event.key === "Home" || event.key === "End"))) {
      event.preventDefault();
      go(to, { announce: true, pin: true });
    } else if (event.key === " " && at.closest(".track, [data-matrix], body") && (at !== document.body || !audio.paused)) {
      event.preventDefault();
      toggle();
    }
  });

  $("slider").addEventListener("input", () => go(Number($("slider").value), { announce: true, pin: true }));
  $("back").addEventListener("click", () => go(t - 1, { announce: true, pin: true }));
  $("on").addEventListener("click", () => go(t + 1, { announce: true, pin: true }));

  $("layer").addEventListener("change", () => {
    layer = Number($("layer").value);
    drawAttention();
    showFrame();
  });
  for (const radio of document.querySelectorAll("input[name=head]")) {
    radio.checked = Number(radio.value) === head; // a reload remembers old choices
    radio.addEventListener("change", () => {
      head = Number(radio.value);
      drawAttention();
      showFrame();
    });
  }
  $("next-step").addEventListener("click", () => {
    const steps = [1, 2, 3].map((i) => $(`step${i}`)), at = steps.findIndex((step) => step.checked);
    steps[(at + 1) % 3].checked = true;
    $("live").textContent = document.querySelector(`label[for=step${((at + 1) % 3) + 1}]`).textContent;
  });

  // --- sound ------------------------------------------------------------------------------------------------------

  let until = Infinity, shownAt = 0;

  function play(from, to) {
    until = to;
    audio.currentTime = from;
    audio.play().catch(() => {}); // a browser may forbid sound
  }
  function toggle() {
    if (!audio.paused) audio.pause();
    else play(pinned && t < T - 1 ? (t * hop) / rate : 0, Infinity);
  }
  function tick(now) {
    if (audio.paused) return;
    if (audio.currentTime >= until) audio.pause();
    else if (!still.matches || now - shownAt > 250) { // less often where motion disturbs
      shownAt = now;
      go(Math.floor((audio.currentTime * rate) / hop), { seek: false });
    }
    requestAnimationFrame(tick);
  }
  $("play").addEventListener("click", toggle);
  audio.addEventListener("play", () => {
    $("play").setAttribute("aria-label", "Pause");
    $("play").firstElementChild.textContent = "⏸";
    requestAnimationFrame(tick);
  });
  audio.addEventListener("pause", () => {
    $("play").setAttribute("aria-label", "Play");
    $("play").firstElementChild.textContent = "▶";
    if (until === Infinity && audio.ended) pinned = false;
  });
  buttons.forEach((button) => {
    button.addEventListener("click", () => {
      const word = data.words[Number(button.dataset.word)];
      go(word.first, { pin: true, announce: true });
      play((word.first * hop) / rate, Math.max((word.stop * hop) / rate, (word.first * hop) / rate + 0.15));
    });
  });

  // --- everything -------------------------------------------------------------------------------------------------

  const lanes = {
    wave: drawWave,
    spectrogram: (canvas) => drawMap(canvas, "spectrogram", data.spectrogram.left, data.spectrogram.width),
    features: (canvas) => drawMap(canvas, "features"),
    projection: (canvas) => drawMap(canvas, "projection"),
    positions: (canvas) => drawMap(canvas, "positions"),
    scores: (canvas) => drawMap(canvas, "scores"),
    lattice: drawLattice,
    words: drawWords,
  };
  function drawAll() {
    for (const track of tracks) lanes[track.dataset.lane]?.(track.querySelector("canvas"));
    drawAttention();
    showFrame();
  }
  let soon = 0;
  new ResizeObserver(() => {
    cancelAnimationFrame(soon);
    soon = requestAnimationFrame(drawAll);
  }).observe(document.body);
  dark.addEventListener("change", drawAll);
  addEventListener("beforeprint", () => { document.documentElement.classList.add("paper"); drawAll(); });
  addEventListener("afterprint", () => { document.documentElement.classList.remove("paper"); drawAll(); });
  drawAll();
})();
