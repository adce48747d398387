// What the page does without the server: a mark while it computes. Rows, models and all else work without it.
"use strict";

for (const form of document.querySelectorAll("form")) {
  form.addEventListener("submit", () => {
    const said = document.createElement("p");
    said.className = "busy";
    said.setAttribute("role", "status");
    said.textContent = "Computing …";
    form.append(said);
  });
}

// Where an answer or a problem is named in the address, whoever uses a keyboard or a reader goes on from there.
const place = document.getElementById(location.hash.slice(1));
if (place && place.tabIndex === -1) {
  place.focus();
}

// Another row is a copy of the last one, with the next number.
for (const button of document.querySelectorAll("button[data-more]")) {
  button.addEventListener("click", (event) => {
    event.preventDefault();
    const rows = button.closest("fieldset").querySelectorAll(".row");
    const last = rows[rows.length - 1];
    const copy = last.cloneNode(true);
    const [before, after] = [rows.length - 1, rows.length].map(String);
    copy.setAttribute("aria-label", last.getAttribute("aria-label").replace(/\d+$/, String(rows.length + 1)));
    for (const told of copy.querySelectorAll("[id$='-told']")) {
      told.remove();
    }
    for (const node of copy.querySelectorAll("[id], [for], [name]")) {
      for (const [key, sign] of [["id", "-"], ["for", "-"], ["name", "."]]) {
        if (node.hasAttribute(key)) {
          node.setAttribute(key, node.getAttribute(key).replace(`${sign}${before}${sign}`, `${sign}${after}${sign}`));
        }
      }
      node.removeAttribute("aria-describedby");
      node.removeAttribute("aria-invalid");
      node.removeAttribute("placeholder");
      if (node.tagName === "INPUT") {
        node.value = "";
      }
    }
    last.after(copy);
    copy.querySelector("input, select").focus();
  });
}
