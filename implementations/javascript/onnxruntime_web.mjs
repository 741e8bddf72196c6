// onnxruntime-web, the one for browsers: WebAssembly.

import "./onnxruntime.mjs";
