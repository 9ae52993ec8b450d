// Sound: playing moves the cursor, and a click on a word plays it.
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
