# The daemon in a small image. Two stages: the first has the compiler and what librdkafka is built with, the second has the
# program, its libraries and certificates, and nothing else: no shell, no package manager. packaging/test-image runs its
# root without Docker.
FROM rust:1-bookworm AS build
WORKDIR /source
COPY . .
# The caches survive between builds, but are no part of the image: so the binary is copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/source/target \
    cargo build --locked --release --package daemon --bin derived-statsd \
    && strip -o /derived-statsd target/release/derived-statsd \
    && packaging/image-root /derived-statsd /image

FROM scratch
COPY --from=build /image /
# Who copies from another stage owns the files, unless the line names somebody.
COPY --from=build --chown=10001:10001 /image/var/lib/derived-statsd /var/lib/derived-statsd
USER 10001:10001
WORKDIR /var/lib/derived-statsd
ENV PATH=/usr/bin
# The only place that is written to: the container runs with --read-only.
VOLUME /var/lib/derived-statsd
EXPOSE 8081
# Of the listener in the configuration, as the daemon reads it of DERIVED_STATSD_CONFIG and the environment.
HEALTHCHECK --interval=5s --timeout=4s --start-period=10s CMD ["derived-statsd", "health"]
ENTRYPOINT ["derived-statsd"]
CMD ["run"]
