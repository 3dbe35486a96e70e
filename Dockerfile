# The program alone: docs/deployment.md. It needs DATABASE_URL; there is no PostgreSQL in this image.
ARG BASE=node:26-bookworm-slim

FROM ${BASE} AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc tsconfig.json ./
COPY test/client test/client
RUN npm ci --ignore-scripts
COPY apps apps
COPY libs libs
COPY migrations migrations
# what is optional is the Node of this package and the embedded PostgreSQL
RUN npm run build \
  && npm prune --omit=dev --omit=optional --ignore-scripts \
  && rm -rf dist/test dist/.tsbuildinfo apps/bench \
  && find dist node_modules -name '*.d.ts' -exec rm {} + \
  && { rmdir node_modules/@* 2>/dev/null || true; }

FROM ${BASE}
WORKDIR /app
ENV NODE_ENV=production HOST=0.0.0.0 PORT=3000 TIDEMARK_DATA_DIR=/tmp/tidemark
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/migrations migrations
COPY --from=build /app/dist dist
USER 1000:1000
EXPOSE 3000
# a database that is away is no reason to restart the program, so not /health/ready
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
  CMD ["node", "-e", "fetch('http://127.0.0.1:' + process.env.PORT + '/health/live').then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "--enable-source-maps", "/app/dist/apps/cli/main.js"]
CMD ["serve"]
