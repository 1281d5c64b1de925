// Optional: sortable tables, a hint on what scrolls sideways, and one slider for the grids of all runs. The page is
// complete without them.
"use strict";
(() => {
  const said = document.getElementById("said");

  // Tables: every heading of a column becomes a button. Cells sort by data-value, else by their text; empty ones last.
  const valueOf = (row, column) => {
    const cell = row.cells[column];
    const text = cell.dataset.value ?? cell.textContent.trim();
    return text !== "" && Number.isFinite(Number(text)) ? Number(text) : text;
  };
  const compare = (one, other) => {
    if (one === "" || other === "") return (one === "") - (other === "");
    if (typeof one === "number" && typeof other === "number") return one - other;
    return String(one).localeCompare(String(other), "en", { numeric: true });
  };
  const sortBy = (table, heading, column) => {
    const descending = heading.getAttribute("aria-sort") === "ascending";
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => ({ row, value: valueOf(row, column) }));
    rows.sort((a, b) => {
      const order = compare(a.value, b.value);
      return descending && a.value !== "" && b.value !== "" ? -order : order;
    });
    body.append(...rows.map(({ row }) => row));
    for (const other of table.tHead.rows[0].cells) if (other.ariaSort) other.setAttribute("aria-sort", "none");
    heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
    said.textContent = `Sorted by ${heading.textContent.trim()}, ${descending ? "descending" : "ascending"}.`;
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    [...table.tHead.rows[0].cells].forEach((heading, column) => {
      if (heading.tagName !== "TH") return;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...heading.childNodes);
      heading.append(button);
      heading.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => sortBy(table, heading, column));
    });
  }

  // What scrolls sideways says so, until it was scrolled once.
  const hint = (box) => {
    const wide = box.scrollWidth > box.clientWidth + 1;
    const last = box.previousElementSibling;
    const told = last?.classList.contains("more") ? last : null;
    if (!wide || box.dataset.scrolled) told?.remove();
    else if (!told && box.clientWidth) {
      const text = document.createElement("p");
      text.className = "more";
      text.textContent = "Scroll sideways for more \u2192";
      box.before(text);
    }
  };
  const watch = new ResizeObserver((entries) => entries.forEach(({ target }) => hint(target)));
  for (const box of document.querySelectorAll("div.scroll")) {
    watch.observe(box);
    box.addEventListener("scroll", () => {
      if (box.scrollLeft > 8) box.dataset.scrolled = "yes";
      hint(box);
    }, { passive: true });
  }

  // The slider: each run shows its latest grid up to the chosen step.
  const player = document.getElementById("player");
  if (!player) return;
  const slider = player.querySelector("input");
  const output = player.querySelector("output");
  const steps = slider.dataset.steps.split(" ").map(Number);
  const show = () => {
    const step = steps[Number(slider.value)];
    for (const frames of document.querySelectorAll(".frames")) {
      const all = [...frames.children];
      const reached = all.filter((frame) => Number(frame.dataset.step) <= step);
      const now = reached[reached.length - 1] ?? all[0];
      for (const frame of all) frame.classList.toggle("now", frame === now);
    }
    output.textContent = `step ${step.toLocaleString("en")}`;
    slider.setAttribute("aria-valuetext", output.textContent);
  };
  slider.addEventListener("input", show);
  player.hidden = false;
  document.documentElement.classList.add("plays");
  show();
})();
