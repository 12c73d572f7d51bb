"use strict";

// Calls a server of kgen's models, the development server or TF Serving, over its REST API.

const TIMEOUT = 120_000; // Milliseconds. Drawing pixel by pixel takes a while.

// Asks `address`, sends `body` if there is one, and returns what the JSON of the answer holds.
async function call({ address, token }, path, body) {
  // Without a Content-Type a browser asks no leave to call another server: fewer ways to fail.
  const options = { headers: {}, signal: AbortSignal.timeout(TIMEOUT) };
  if (token) options.headers.Authorization = `Bearer ${token}`;
  if (body) Object.assign(options, { method: "POST", body: JSON.stringify(body) });
  let response, text;
  try {
    response = await fetch(address + path, options);
    text = await response.text();
  } catch (error) {
    if (error.name === "TimeoutError") {
      throw new Error(`${address} gave no answer in ${TIMEOUT / 1000} seconds.`);
    }
    throw new Error(
      `${address} does not answer. Is it running, and may this page call it? TF Serving needs the` +
        " flag --rest_api_enable_cors_support for pages from elsewhere.",
    );
  }
  let content;
  try {
    content = JSON.parse(text);
  } catch {
    throw new Error(`${address} answered ${response.status} ${readable(text)}`);
  }
  if (!response.ok) {
    throw Object.assign(new Error(inWords(response.status, content)), { status: response.status });
  }
  return content;
}

function readable(text) {
  if (/\bNaN\b|\bInfinity\b/.test(text)) return "with NaN or Infinity: no numbers of JSON.";
  return `and no JSON: ${text.replace(/<[^>]*>/g, " ").trim().slice(0, 200)}`;
}

function inWords(status, content) {
  const reasons = {
    401: "The server wants another token (under Server).",
    404: "The server has no such model.",
    413: "The request is larger than the server allows.",
    429: "Too many requests: wait a little.",
    503: "The model is being loaded: try again in a moment.",
    504: "The model took longer than the server allows.",
  };
  const said = content && content.error ? String(content.error) : "";
  return [reasons[status] || `The server refused (${status}).`, said].filter(Boolean).join(" ");
}

// Runs a signature of `model`, which is what `fetchModel` returned: output name -> value.
async function predict(server, model, name, inputs) {
  const body = { signature_name: name, inputs };
  const { outputs } = await call(server, `${modelPath(model.name)}:predict`, body);
  // A single output comes without its name.
  const names = Object.keys(model.signatures[name].outputs);
  return names.length === 1 ? { [names[0]]: outputs } : outputs;
}

function modelPath(name) {
  return `/v1/models/${encodeURIComponent(name)}`;
}

// The name, the version and the signatures of a model: name -> inputs and outputs, each name ->
// dtype and shape, with -1 where a dimension is open.
async function fetchModel(server, name) {
  const { metadata, model_spec: spec } = await call(server, `${modelPath(name)}/metadata`);
  const signatures = {};
  for (const [key, value] of Object.entries(metadata.signature_def.signature_def)) {
    if (key === "serving_default" || key.startsWith("__")) continue;
    signatures[key] = { inputs: readTensors(value.inputs), outputs: readTensors(value.outputs) };
  }
  return { name, version: spec && spec.version, signatures };
}

function readTensors(infos) {
  const found = {};
  for (const [name, info] of Object.entries(infos || {})) {
    const dims = (info.tensor_shape && info.tensor_shape.dim) || [];
    const dtype = info.dtype.replace("DT_", "").toLowerCase().replace(/^float$/, "float32");
    found[name] = { dtype, shape: dims.map((dim) => Number(dim.size)) };
  }
  return found;
}

function describeTensors(tensors) {
  const size = (dim) => (dim < 0 ? "?" : dim);
  return Object.entries(tensors)
    .map(([name, { dtype, shape }]) => `${name}: ${dtype}[${shape.map(size).join(", ")}]`)
    .join(", ");
}
