"use strict";
// Everything is readable without this: it shows the search field, hides what does not match, and opens all for print.
for (const box of document.querySelectorAll(".search")) {
  const section = box.parentElement;
  const field = box.querySelector("input");
  const verdict = box.querySelector("select");
  const said = box.querySelector("output");
  const items = [...section.querySelectorAll(".exchange")];
  const words = (item) => [...item.querySelectorAll(".text")].map((text) => text.textContent).join("\n");
  const texts = items.map((item) => words(item).toLowerCase());
  const search = () => {
    const wanted = field.value.trim().toLowerCase();
    let found = 0;
    items.forEach((item, at) => {
      const right = verdict.value === "" || item.dataset.verdicts.split(" ").includes(verdict.value);
      item.hidden = !(right && texts[at].includes(wanted));
      found += item.hidden ? 0 : 1;
    });
    for (const group of section.querySelectorAll("details.group")) {
      group.hidden = group.querySelector(".exchange:not([hidden])") === null;
      if (!group.hidden && (wanted !== "" || verdict.value !== "")) group.open = true;
    }
    said.textContent = `${found} of ${items.length} shown`;
  };
  field.addEventListener("input", search);
  verdict.addEventListener("change", search);
  box.hidden = false;
  search();
}
addEventListener("beforeprint", () => {
  for (const element of document.querySelectorAll("details")) element.open = true;
});
