// Draw everything: at the start, and again when the window or the theme changes.
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
