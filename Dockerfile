# The daemon in a small image. Two stages: the first has the compiler and what librdkafka is built with, the second runs.
FROM rust:1-bookworm AS build
WORKDIR /source
COPY . .
# The caches survive between builds, but are no part of the image: so the binary is copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/source/target \
    cargo build --locked --release --package daemon --bin derived-statsd \
    && strip -o /derived-statsd target/release/derived-statsd

FROM debian:bookworm-slim
# libssl3: TLS to brokers. ca-certificates: whose certificates to trust.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates libssl3 zlib1g \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/derived-statsd --create-home derived-statsd
COPY --from=build /derived-statsd /usr/local/bin/derived-statsd
USER derived-statsd
WORKDIR /var/lib/derived-statsd
# The only place that is written to: the container runs with --read-only.
VOLUME /var/lib/derived-statsd
EXPOSE 8081
HEALTHCHECK --interval=5s --timeout=4s --start-period=10s CMD ["derived-statsd", "health"]
ENTRYPOINT ["derived-statsd"]
CMD ["run"]
