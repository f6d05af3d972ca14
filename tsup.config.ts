/** One ESM file per program, dependencies included: starts in a quarter second and runs with nothing beside it. */
import { basename, resolve } from 'node:path'
import { defineConfig, type Options } from 'tsup'
import { makeCompileCache } from './scripts/compile-cache.ts'

type EsbuildPlugin = NonNullable<Options['esbuildPlugins']>[number]

/**
 * Of undici its Pool: the rest, fetch, WebSocket and caches, is a fifth of a bundle that starts and stays in memory for
 * nothing. Another name imported from undici fails the build.
 */
const undiciPool: EsbuildPlugin = {
  name: 'undici-pool',
  setup(build) {
    build.onResolve({ filter: /^undici$/ }, ({ path, resolveDir }) => ({
      path,
      namespace: 'undici-pool',
      pluginData: { resolveDir },
    }))
    build.onLoad({ filter: /.*/, namespace: 'undici-pool' }, ({ pluginData }) => ({
      contents: `
        import request from 'undici/lib/api/api-request.js'
        import Dispatcher from 'undici/lib/dispatcher/dispatcher.js'
        import Pool from 'undici/lib/dispatcher/pool.js'
        Dispatcher.prototype.request = request
        export { Pool }`,
      ...pluginData,
    }))
  },
}

/** An `import` of these reads all that they export, also WebSocket, for which Node then loads its own undici: 50 ms. */
const httpByName: EsbuildPlugin = {
  name: 'http-by-name',
  setup(build) {
    build.onResolve({ filter: /^(node:)?https?$/ }, ({ path }) => ({
      path: path.replace(/^node:/, ''),
      namespace: 'http-by-name',
    }))
    build.onLoad({ filter: /.*/, namespace: 'http-by-name' }, ({ path }) => ({
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
  esbuildPlugins: [undiciPool, httpByName],
  // The other programs are short-lived, or for tests.
  onSuccess: async () => {
    if (basename(resolve('..')) === 'services') await makeCompileCache(resolve('dist/main.mjs'))
  },
  // Bundled CommonJS dependencies still call require() for Node's own modules.
  banner: {
    js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
  },
})
