/** One ESM file per program, dependencies included: starts in a quarter second and runs with nothing beside it. */
import { isBuiltin } from 'node:module'
import { basename, resolve } from 'node:path'
import { defineConfig, type Options } from 'tsup'
import { makeCompileCache } from './scripts/compile-cache.ts'

type EsbuildPlugin = NonNullable<Options['esbuildPlugins']>[number]

/**
 * Of these packages what is used: the rest, as undici's fetch, WebSocket and caches or the default metrics, starts and
 * stays in memory for nothing. Another name imported from them fails the build.
 */
const PARTS: Readonly<Record<string, string>> = {
  undici: `
    import Pool from 'undici/lib/dispatcher/pool.js'
    export { Pool }`,
  'prom-client': `
    import Counter from 'prom-client/lib/counter.js'
    import Gauge from 'prom-client/lib/gauge.js'
    import Histogram from 'prom-client/lib/histogram.js'
    import Registry from 'prom-client/lib/registry.js'
    export { Counter, Gauge, Histogram, Registry }`,
}

const usedParts: EsbuildPlugin = {
  name: 'used-parts',
  setup(build) {
    build.onResolve({ filter: /^(undici|prom-client)$/ }, ({ path, resolveDir }) => ({
      path,
      namespace: 'used-parts',
      pluginData: { resolveDir },
    }))
    build.onLoad({ filter: /.*/, namespace: 'used-parts' }, ({ path, pluginData }) => ({
      contents: PARTS[path] as string,
      ...pluginData,
    }))
  },
}

/**
 * An `import` of Node's own modules reads all that they export: of http also WebSocket, for which Node then loads its
 * own undici, 50 ms; of fs the streams.
 */
const builtinByName: EsbuildPlugin = {
  name: 'builtin-by-name',
  setup(build) {
    build.onResolve({ filter: /^[a-z0-9_:/]+$/ }, ({ path }) =>
      isBuiltin(path)
        ? { path: path.replace(/^node:/, ''), namespace: 'builtin-by-name' }
        : undefined,
    )
    build.onLoad({ filter: /.*/, namespace: 'builtin-by-name' }, ({ path }) => ({
      contents: `module.exports = process.getBuiltinModule('node:${path}')`,
    }))
  },
}

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
  // Or tsup would take `node:http` from the plugin.
  removeNodeProtocol: false,
  // .mjs runs as a module with no package.json beside it.
  outExtension: () => ({ js: '.mjs' }),
  noExternal: [/.*/],
  external: ['pg-native'],
  // Half of a bundle is comments, and one letter beyond Latin 1 in them doubles what V8 has to read and keep.
  esbuildOptions: (options) => {
    options.minifyWhitespace = true
    options.charset = 'ascii'
  },
  esbuildPlugins: [usedParts, builtinByName],
  // The other programs are short-lived, or for tests.
  onSuccess: async () => {
    if (basename(resolve('..')) === 'services') await makeCompileCache(resolve('dist/main.mjs'))
  },
  // Bundled CommonJS dependencies still call require() for Node's own modules.
  banner: {
    js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
  },
})
