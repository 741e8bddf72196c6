// onnxruntime-node, which calls the native library.

import "./onnxruntime.mjs";
