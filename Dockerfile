# Builds and runs the gateway. The context is what .dockerignore lets through.
#
#   docker build -t im-gateway .
#   docker run --rm --env-file gateway.env -p 8080:8080 im-gateway

FROM node:24.21.0-bookworm-slim AS build
WORKDIR /app
# Packages first: this layer stays as long as the lock file does.
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts --workspaces=false
COPY buf.yaml buf.gen.yaml tsconfig.json tsconfig.build.json ./
COPY proto proto
COPY scripts scripts
COPY src src
COPY plugins plugins
COPY routes routes
COPY bin bin
COPY conformance conformance
RUN npm run build && npm prune --omit=dev --ignore-scripts --workspaces=false

FROM node:24.21.0-bookworm-slim
ENV NODE_ENV=production
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY --from=build /app/proto proto
COPY scripts/healthcheck.mjs ./
# By number, so that Kubernetes can see that it is not root. Nothing in the image belongs to it, and nothing is written.
USER 1000:1000
EXPOSE 8080 9093
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 CMD ["node", "healthcheck.mjs"]
# Nothing here uses __proto__; without it no input can either.
CMD ["node", "--disable-proto=delete", "dist/src/main.js"]
