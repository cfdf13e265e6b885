// What Python imports as the module `cutout_bridge`.
export * from "./codecs.js"
export * from "./inference.js"
