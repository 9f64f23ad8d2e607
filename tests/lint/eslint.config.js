// Lints the scripts of the pages (src/http/page) and of the tests: tests/run calls it from the root of the repository.
import js from "@eslint/js";
import globals from "globals";

export default [
  js.configs.recommended,
  {
    languageOptions: { ecmaVersion: 2024, sourceType: "module" },
    rules: {
      eqeqeq: ["error", "smart"],
      "no-empty": ["error", { allowEmptyCatch: true }],
      "no-eval": "error",
      "no-implied-eval": "error",
      "no-var": "error",
      "prefer-const": "error",
      // The content of alerts is text, never markup; the Content-Security-Policy enforces the same in the browser.
      "no-restricted-properties": [
        "error",
        { property: "innerHTML", message: "use textContent or element.js" },
        { property: "outerHTML", message: "use textContent or element.js" },
        { property: "insertAdjacentHTML", message: "use textContent or element.js" },
      ],
    },
  },
  { files: ["src/**/*.js"], languageOptions: { globals: globals.browser } },
  { files: ["tests/**/*.mjs"], languageOptions: { globals: { ...globals.node, ...globals.browser } } },
];
