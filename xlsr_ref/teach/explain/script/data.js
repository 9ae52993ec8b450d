// What the page carries: the JSON block decoded, the sound as samples, and where the reader is (frame, block, head).
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
