"use strict";

// What the page does. Before it come server.js, with the calls, and pictures.js.

const STEPS = 8; // Pictures of an interpolation, and completions: a batch size that is warmed up.
const SPAN = 3; // Sliders go this many standard deviations of the prior to either side.

const element = (id) => document.getElementById(id);

// What is open. `picked` are the two pictures that were clicked last, the newest last.
let model = null;
let opening = null;
let picked = [];
let latents = [];
let picture = null; // What is completed, its label, and which of its pixels are known.
let pictureLabel = 0;
let known = [];

function server() {
  const address = element("server").value.trim().replace(/\/+$/, "");
  return { address, token: element("token").value };
}

function run(name, inputs) {
  return predict(server(), model, name, inputs);
}

// The inputs of a signature for `count` rows: those given, and the options of the page.
function fill(name, count, given = {}) {
  const inputs = {};
  for (const key of Object.keys(model.signatures[name].inputs)) {
    if (key in given) inputs[key] = given[key];
    else if (key === "seed") inputs[key] = seedRows(count);
    else if (key === "temperature") inputs[key] = repeat(number("temperature"), count);
    else if (key === "labels") inputs[key] = labelRows(count);
    else throw new Error(`${name} takes an input ${key} that this page does not know.`);
  }
  return inputs;
}

// Row i is (seed, i), as in kgen's own `sample(count, seed=seed)`.
function seedRows(count) {
  const seed = number("seed");
  return Array.from({ length: count }, (_, i) => [seed, i]);
}

function labelRows(count) {
  check("labels");
  const labels = element("labels").value.split(",").map(Number);
  return Array.from({ length: count }, (_, i) => labels[i % labels.length]);
}

function number(id) {
  check(id);
  return Number(element(id).value);
}

function check(id) {
  const input = element(id);
  if (!input.checkValidity()) {
    const name = input.closest("label").firstChild.textContent.trim();
    throw new Error(`${name}: ${input.validationMessage}`);
  }
}

// A model.

async function open(name) {
  model = null;
  opening = name;
  for (const section of document.querySelectorAll("section")) section.hidden = true;
  markName(name);
  const found = await fetchModel(server(), name);
  if (opening !== name) return; // Another one was opened meanwhile.
  model = found;
  picked = [];
  picture = null;
  show();
}

function has(name, input, rank) {
  const signature = model.signatures[name];
  const found = signature && signature.inputs[input];
  return Boolean(found && found.shape.length === rank);
}

function drawsPictures(name) {
  const outputs = model.signatures[name] ? model.signatures[name].outputs : {};
  return Boolean(outputs.images && outputs.images.shape.length === 4);
}

const canSample = () => drawsPictures("sample");
const canDecode = () => has("decode", "latents", 2) && drawsPictures("decode");
const canEncode = () => canDecode() && has("encode", "images", 4);
const canComplete = () => has("complete", "mask", 3) && canSample();

function show() {
  const version = model.version ? `, version ${model.version}` : "";
  element("name").textContent = model.name + version;
  element("kind").textContent = kind();
  listSignatures();
  element("about").hidden = false;
  element("sampling").hidden = !canSample();
  element("latents").hidden = !canDecode();
  element("interpolation").hidden = !canDecode();
  element("completion").hidden = !canComplete();
  const inputs = Object.values(model.signatures).flatMap(({ inputs }) => Object.keys(inputs));
  for (const key of ["temperature", "labels"]) {
    element(`${key}-option`).hidden = !inputs.includes(key);
  }
  const uses = [canEncode() && "look at its latents", canEncode() && "interpolate",
    canComplete() && "complete it"].filter(Boolean);
  element("pick").textContent = uses.length ? `Pick a picture to ${uses.join(" or ")}.` : "";
  element("ends").textContent = canEncode()
    ? "from picture A to picture B, those that you picked last" : "between two random latents";
  for (const id of ["samples", "path", "completions"]) element(id).replaceChildren();
  if (canDecode()) makeSliders(model.signatures.decode.inputs.latents.shape[1]);
}

function kind() {
  const words = [];
  if (canSample()) words.push("draws pictures");
  else if (model.signatures.sample) words.push("samples, but no pictures");
  if (canDecode()) words.push("turns latents into pictures");
  if (model.signatures.encode) words.push("encodes pictures");
  if (canComplete()) words.push("completes pictures");
  if (model.signatures.embed) words.push("turns pictures into embeddings");
  if (model.signatures.neighbours) words.push("finds the neighbours of a picture");
  if (!words.length) return "This model has nothing that this page can show.";
  const known = words.join(", ").replace(/, ([^,]*)$/, " and $1");
  const nothing = canSample() || canDecode() ? "" : " Call it with kgen.serving.Client.";
  return `This model ${known}.${nothing}`;
}

function listSignatures() {
  const rows = [];
  for (const [name, { inputs, outputs }] of Object.entries(model.signatures).sort()) {
    const title = document.createElement("dt");
    const text = document.createElement("dd");
    title.textContent = name;
    text.textContent = `${describeTensors(inputs)} \u2192 ${describeTensors(outputs)}`;
    rows.push(title, text);
  }
  element("signatures").replaceChildren(...rows);
}

// Samples.

function tile(image, title, onClick) {
  const canvas = document.createElement("canvas");
  paint(canvas, image);
  if (!onClick) {
    canvas.title = title;
    return canvas;
  }
  const button = document.createElement("button");
  button.type = "button";
  button.className = "tile";
  button.setAttribute("aria-label", title);
  button.append(canvas);
  button.addEventListener("click", () => attempt(null, () => onClick(button)));
  return button;
}

async function sample() {
  const count = number("count");
  const inputs = fill("sample", count);
  const { images } = await run("sample", inputs);
  picked = [];
  const label = (i) => (inputs.labels ? inputs.labels[i] : 0);
  const usable = canEncode() || canComplete();
  element("samples").replaceChildren(...images.map((image, i) =>
    tile(image, `Sample ${i}`, usable && ((button) => pick(button, image, label(i))))));
  if (canComplete()) startCompletion(images[0], label(0));
}

async function pick(button, image, label) {
  // Only a path has two ends.
  const kept = picked.filter((item) => item.button !== button && canEncode());
  picked = [...kept, { button, image }].slice(-2);
  for (const other of element("samples").children) delete other.dataset.picked;
  picked.forEach((item, i) => (item.button.dataset.picked = canEncode() ? "AB"[i] : "\u2713"));
  if (canComplete()) startCompletion(image, label);
  if (canEncode()) {
    const encoded = await run("encode", fill("encode", 1, { images: [image] }));
    setLatents(encoded.latents[0]);
    await decode();
  }
}

// Latents.

function makeSliders(count) {
  const rows = Array.from({ length: count }, (_, i) => {
    const label = document.createElement("label");
    const slider = document.createElement("input");
    Object.assign(slider, { type: "range", min: -SPAN, max: SPAN, step: 0.05 });
    slider.addEventListener("input", () => {
      latents[i] = Number(slider.value);
      label.lastChild.textContent = latents[i].toFixed(2);
      attempt(null, decode);
    });
    label.append(`${i}`, slider, document.createElement("output"));
    return label;
  });
  element("sliders").replaceChildren(...rows);
  setLatents(repeat(0, count));
  return attempt(null, decode);
}

function setLatents(values) {
  latents = [...values];
  [...element("sliders").children].forEach((label, i) => {
    label.children[0].value = latents[i];
    label.lastChild.textContent = latents[i].toFixed(2);
  });
}

// One request at a time: what the sliders say when it is answered is asked for next.
let decoding = false;
let moved = false;

async function decode() {
  moved = true;
  if (decoding) return;
  decoding = true;
  try {
    while (moved) {
      moved = false;
      const asked = model;
      const { images } = await run("decode", fill("decode", 1, { latents: [latents] }));
      if (asked === model) paint(element("decoded"), images[0]);
    }
  } finally {
    decoding = false;
  }
}

function randomLatents() {
  const normal = () =>
    Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
  return latents.map(normal);
}

async function interpolate() {
  let ends = [randomLatents(), randomLatents()];
  if (canEncode() && canSample()) {
    if (picked.length < 2 && element("samples").children.length < 2) await sample();
    for (const button of element("samples").children) {
      if (picked.length < 2 && !picked.some((item) => item.button === button)) button.click();
    }
    if (picked.length === 2) {
      const images = picked.map((item) => item.image);
      ends = (await run("encode", fill("encode", 2, { images }))).latents;
    }
  }
  const weight = Array.from({ length: STEPS }, (_, i) => i / (STEPS - 1));
  const between = (share) => ends[0].map((start, k) => start + share * (ends[1][k] - start));
  const [name, given] = has("interpolate", "start", 2)
    ? ["interpolate", { start: repeat(ends[0], STEPS), end: repeat(ends[1], STEPS), weight }]
    : ["decode", { latents: weight.map(between) }];
  // With noise of its own in each row a path would jump: one row for all.
  if ("seed" in model.signatures[name].inputs) given.seed = repeat([number("seed"), 0], STEPS);
  if ("labels" in model.signatures[name].inputs) given.labels = repeat(labelRows(1)[0], STEPS);
  const { images } = await run(name, fill(name, STEPS, given));
  element("path").replaceChildren(...images.map((image, i) => tile(image, `Step ${i}`)));
}

// Completion.

function startCompletion(image, label) {
  picture = image;
  pictureLabel = label;
  erase(() => false, true);
}

// Erases the pixels that `inside(row, column)` says; with `anew` all others are known again.
function erase(inside, anew = false) {
  if (!picture) throw new Error("Press Sample first: there is no picture to erase.");
  known = picture.map((line, row) =>
    line.map((_, column) => (inside(row, column) ? 0 : anew ? 1 : known[row][column])));
  paint(element("erasing"), picture, known);
}

function eraseUnder(event) {
  const canvas = element("erasing");
  const box = canvas.getBoundingClientRect();
  const row = ((event.clientY - box.top) / box.height) * canvas.height;
  const column = ((event.clientX - box.left) / box.width) * canvas.width;
  const radius = Math.max(canvas.width / 14, 0.71);
  erase((y, x) => Math.hypot(y + 0.5 - row, x + 0.5 - column) <= radius);
}

async function complete() {
  if (!picture) await sample();
  if (known.flat().every(Boolean)) erase((row) => row >= picture.length / 2);
  const given = { images: repeat(picture, STEPS), mask: repeat(known, STEPS) };
  if ("labels" in model.signatures.complete.inputs) given.labels = repeat(pictureLabel, STEPS);
  const { images } = await run("complete", fill("complete", STEPS, given));
  element("completions").replaceChildren(
    ...images.map((image, i) => tile(image, `Completion ${i}`)));
}

// The page.

async function attempt(button, action) {
  const message = element("message");
  const asked = model;
  if (button) button.disabled = true;
  try {
    await action();
    message.hidden = true;
  } catch (error) {
    // An answer for a model that is no longer open concerns nobody.
    if (asked && model && asked !== model) return;
    message.textContent = error.message;
    if (error.status === 401) element("token").closest("details").open = true;
    message.hidden = false;
  } finally {
    if (button) button.disabled = false;
  }
}

function markName(name) {
  element("model").value = name;
  for (const button of element("names").children) {
    button.toggleAttribute("aria-current", button.textContent === name);
  }
}

// The development server has a list of its models; TF Serving has none, and the name is typed.
async function listModels() {
  let names;
  try {
    ({ models: names } = await call(server(), "/models.json"));
  } catch {
    return;
  }
  element("names").replaceChildren(...names.map((name) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = name;
    button.addEventListener("click", () => attempt(button, () => open(name)));
    return button;
  }));
  if (names.length && !element("model").value) element("model").value = names[0];
}

function onClick(id, action) {
  element(id).addEventListener("click", (event) => attempt(event.currentTarget, action));
}

function onSubmit(form, action) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(form.querySelector("[type=submit]"), action);
  });
}

onSubmit(element("connection"), () => open(element("model").value.trim()));
onSubmit(element("sampling").querySelector("form"), sample);
onClick("new-seed", () => {
  element("seed").value = crypto.getRandomValues(new Uint32Array(1))[0] >>> 1;
  return sample();
});
onClick("random-latents", () => (setLatents(randomLatents()), decode()));
onClick("zero-latents", () => (setLatents(repeat(0, latents.length)), decode()));
onClick("interpolate", interpolate);
onClick("lower-half", () => erase((row) => row >= picture.length / 2, true));
onClick("right-half", () => erase((_, column) => column >= picture[0].length / 2, true));
onClick("restore", () => erase(() => false, true));
onClick("complete", complete);
element("erasing").addEventListener("pointerdown", (event) => {
  event.currentTarget.setPointerCapture(event.pointerId);
  attempt(null, () => eraseUnder(event));
});
element("erasing").addEventListener("pointermove", (event) => {
  if (event.buttons) attempt(null, () => eraseUnder(event));
});
element("server").addEventListener("change", () => attempt(null, listModels));

const query = new URLSearchParams(location.search);
const origin = location.protocol.startsWith("http") ? new URL(".", location.href).href : "";
element("server").value =
  query.get("server") || origin.replace(/\/+$/, "") || "http://localhost:8501";
element("model").value = query.get("model") || "";
listModels().then(() => {
  if (element("model").value) return attempt(null, () => open(element("model").value));
});
