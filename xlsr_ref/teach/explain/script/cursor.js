// The cursor: one frame, lit in every picture; pointing and keys move it.
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
  $("t-sound").textContent = `Samples ${(t * hop).toLocaleString("en")} to ${(end - 1).toLocaleString("en")}: ${Math.round((1000 * field) / rate)}\u00a0ms from ${seconds(t)}\u00a0s.`;
  $("t-features").textContent = `The row of frame ${t} in the features, channel by channel.`;
  $("t-looks").textContent = `Block ${layer + 1}, ${head < 0 ? "all heads" : headName()}: ${looks()}.`;
  $("f-character").textContent = labels[token];
  $("t-character").textContent = `${named(token)[0].toUpperCase()}${named(token).slice(1)}, ${percent(p)}\u00a0%. In ${word < 0 ? "no word" : `“${data.words[word].text}”`}.`;
  document.querySelector(".strip .here")?.classList.remove("here");
  chips[t].classList.add("here");
  for (const button of buttons) button.classList.toggle("here", Number(button.dataset.word) === word);
  $("slider").value = t;
  $("slider").setAttribute("aria-valuetext", sentence());
  $("now").textContent = `${t} / ${T - 1} · ${seconds(t)}\u00a0s · ${named(token)} ${percent(p)}\u00a0%${word < 0 ? "" : ` · ${data.words[word].text}`}`;
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
