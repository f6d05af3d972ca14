# One image for every program of the project: its bundle and Node, as user 65532, on a root file system that may be read-only.
#
#   docker build --build-arg PACKAGE=services/order -t order-service .
#
# CI builds this file with buildah on stand-ins for the two base images: pnpm verify:images.

ARG BUILD_IMAGE=node:24-trixie-slim
# Its entrypoint is Node, its user 65532; it has no shell.
ARG RUNTIME_IMAGE=gcr.io/distroless/nodejs24-debian13:nonroot

FROM ${BUILD_IMAGE} AS build
WORKDIR /src
RUN npm install --global pnpm@12.21.0
COPY package.json pnpm-lock.yaml pnpm-workspace.yaml ./
RUN pnpm fetch
COPY . .
RUN pnpm install --offline --frozen-lockfile
ARG PACKAGE
RUN if [ -z "$PACKAGE" ] || [ ! -f "$PACKAGE/src/main.ts" ]; then \
      echo "PACKAGE=\"$PACKAGE\" is not the folder of a program. Use one of: services/order, services/payment, services/inventory, processor, provision, audit." >&2; \
      exit 1; \
    fi \
 && pnpm --filter "./$PACKAGE" run build \
 && install -D "$PACKAGE/dist/main.mjs" /app/main.mjs \
 && case "$PACKAGE" in services/*) node scripts/compile-cache.ts /app/main.mjs 65532;; esac

FROM ${RUNTIME_IMAGE}
WORKDIR /app
COPY --from=build /app ./
# Node's default leaves most of a small memory limit unused. Nobody needs __proto__ but who would pollute a prototype.
ENV NODE_OPTIONS="--max-old-space-size-percentage=75 --disable-proto=delete"
# Node takes it where it is of the same Node, kind of processor and user; else a start is a fifth longer.
ENV NODE_COMPILE_CACHE=/app/compile-cache
CMD ["main.mjs"]
