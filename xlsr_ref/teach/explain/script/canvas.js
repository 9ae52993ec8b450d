// Colours, and a canvas as a map of levels or as a sheet to draw on.
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
