/** One ESM file per program, dependencies included: starts in a quarter second and runs with nothing beside it. */
import { defineConfig } from 'tsup'

export default defineConfig({
  entry: { main: 'src/main.ts' },
  format: ['esm'],
  platform: 'node',
  target: 'node24',
  clean: true,
  splitting: false,
  sourcemap: true,
  silent: true,
  // tsup's declaration build needs the compiler API, which TypeScript 7 does not have; tsc -b checks the types.
  dts: false,
  // .mjs runs as a module with no package.json beside it.
  outExtension: () => ({ js: '.mjs' }),
  noExternal: [/.*/],
  external: ['pg-native'],
  // Bundled CommonJS dependencies still call require() for Node's own modules.
  banner: {
    js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
  },
})
