// The reader comes first: MathJax and the theme's scripts, which keep a browser busy for longest,
// start when the first figure can be moved; on a page without figures at once. They are marked
// type="text/later", and keep their order. Sections out of sight are laid out then too (book.css).
(() => {
  let started = false;
  function start() {
    if (started) return;
    started = true;
    document.documentElement.classList.add("figure-moves");
    for (const { src } of document.querySelectorAll('script[type="text/later"]')) {
      const script = document.createElement("script");
      script.async = false;
      script.onload = () => window.MathJax?.startup?.promise?.then(formulasAreSet);
      script.src = src;
      document.head.append(script);
    }
  }
  if (!document.querySelector('script[type="application/vnd.jupyter.widget-view+json"]')) return start();
  document.addEventListener("first-figure", start);
  setTimeout(start, 15_000); // should figures.js not arrive
})();

// The theme's buttons would have scripts in attributes, which the pages' policy does not let run.
document.addEventListener("click", ({ target }) => {
  const button = target.closest?.("[data-press]");
  if (button?.dataset.press === "full-screen") window.toggleFullScreen();
  if (button?.dataset.press === "print") window.print();
});

function formulasAreSet() {
  boxWideFormulas();
  markBoxes();
}

// On a phone an inline formula can be wider than its column: then it scrolls in a box of its own.
// Folded ones are measured when they are unfolded.
function boxWideFormulas() {
  if (!matchMedia("(max-width: 600px)").matches) return;
  for (const formula of document.querySelectorAll("article mjx-container:not([display])")) {
    let column = formula.parentElement;
    while (getComputedStyle(column).display === "inline") column = column.parentElement;
    if (formula.classList.contains("book-wide") || formula.offsetWidth <= column.clientWidth) continue;
    formula.classList.add("book-wide");
    formula.tabIndex = 0;
  }
}
document.addEventListener("click", () => setTimeout(boxWideFormulas));

// Boxes that scroll sideways say on which sides there is more (book.css).
const SCROLLS = ".pst-scrollable-table-container, .cell_output .text_html, mjx-container[display]";
const resized = new ResizeObserver((entries) => entries.forEach(({ target }) => markSides(target)));
const marked = new WeakSet();

function markSides(box) {
  box.classList.toggle("goes-on-left", box.scrollLeft > 1);
  box.classList.toggle("goes-on-right", box.scrollLeft + box.clientWidth < box.scrollWidth - 1);
}

function markBoxes() {
  for (const box of document.querySelectorAll(SCROLLS)) {
    if (marked.has(box)) continue;
    marked.add(box);
    box.addEventListener("scroll", () => markSides(box), { passive: true });
    resized.observe(box);
  }
}
document.addEventListener("DOMContentLoaded", markBoxes);
