# SPDX-License-Identifier: ISC
# twostepd and twostepctl as an image: docker build -t twostep .
# The settings are TWOSTEP_ variables; the state folder is the one place where anything is written.
ARG DEBIAN=bookworm

FROM debian:${DEBIAN} AS build
WORKDIR /twostep
COPY deploy/install-deps.sh deploy/
RUN deploy/install-deps.sh build
COPY Makefile LICENSE ./
COPY include include
COPY proto proto
COPY src src
RUN make -j"$(nproc)" all && make install DESTDIR=/out PREFIX=/usr && strip /out/usr/bin/*

FROM debian:${DEBIAN}-slim
ARG REVISION=unknown
LABEL org.opencontainers.image.title="twostep" \
      org.opencontainers.image.description="Two-step verification as a gRPC service" \
      org.opencontainers.image.licenses="ISC" \
      org.opencontainers.image.revision="${REVISION}"
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        ca-certificates libbson-1.0-0 libconfuse2 libcurl4 libevent-core-2.1-7 \
        libjansson4 libmongoc-1.0-0 libnghttp2-14 libpng16-16 libprotobuf-c1 libqrencode4 libsodium23 \
        libseccomp2 libsqlite3-0 libssl3 zlib1g \
    && apt-get clean \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/log/apt /var/log/dpkg.log \
    && install -d -m 0700 -o 10001 -g 10001 /var/lib/twostep
COPY --from=build /out/usr/bin/ /usr/bin/
COPY LICENSE /usr/share/doc/twostep/LICENSE
# libmongoc would keep counters that nobody reads in a file in /dev/shm.
ENV MONGOC_DISABLE_SHM=1
# By number, so that Kubernetes' runAsNonRoot can see that it is not root.
USER 10001:10001
WORKDIR /
VOLUME /var/lib/twostep
EXPOSE 7443
STOPSIGNAL SIGTERM
# It is healthy when it serves; a store that is down shows here, too.
HEALTHCHECK --interval=10s --timeout=5s --start-period=15s --retries=3 \
    CMD ["/usr/bin/twostepctl", "--timeout=3s", "health"]
ENTRYPOINT ["/usr/bin/twostepd"]
