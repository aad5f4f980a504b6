// Tells require.js where the vendored widget code lies, whatever the depth of the page:
// without these paths the widget loader would ask a CDN.
(() => {
  const here = document.currentScript.src.replace(/[^/]*$/, "");
  require.config({
    waitSeconds: 0,
    paths: {
      anywidget: here + "anywidget/index",
      "@jupyter-widgets/html-manager": here + "html-manager",
    },
  });
})();
