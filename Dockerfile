# Images of sinkstream: `docker build --target TARGET .`, with TARGET
#   server             the server alone; the model is mounted at /var/lib/sinkstream/model.pt
#   server-with-model  the same with the default model in it, of --build-arg DTYPE=float32, bfloat16, int8 or int4
#   tools              sinkstream-chat, sinkstream-loadgen and sinkstream-eval
# docs/operations.md, "Containers", tells how they are run.
ARG BASE=docker.io/library/debian:bookworm-slim

FROM ${BASE} AS build
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
WORKDIR /src
# Alone: these layers are made again only when what they install changes.
COPY scripts/setup scripts/messages.bash scripts/lock.bash scripts/debian-packages.txt scripts/requirements-export.txt scripts/
RUN apt-get update && apt-get install --yes --no-install-recommends make && scripts/setup
COPY . .
RUN cmake --preset release -DSINKSTREAM_BUILD_TESTS=OFF && make package

FROM build AS model
ARG DTYPE=float32
RUN scripts/export-model build/models/model.pt ${DTYPE}

FROM ${BASE} AS server
# A user id that outlasts the image, for the volumes of its containers.
RUN mkdir -p /etc/sysusers.d && echo 'u sinkstream 10001 "sinkstream server" /var/lib/sinkstream' >/etc/sysusers.d/sinkstream.conf
RUN --mount=type=bind,from=build,source=/src/build/package,target=/packages \
    apt-get update && \
    apt-get install --yes --no-install-recommends /packages/sinkstream-server_*.deb /packages/sinkstream-chat_*.deb && \
    apt-get clean && rm -rf /var/lib/apt/lists/* && \
    install -d -m 0700 -o sinkstream -g sinkstream /var/cache/sinkstream
USER 10001:10001
EXPOSE 50051
ENTRYPOINT ["sinkstream-server", "--flagfile=/etc/sinkstream/server.flags", "--listen=0.0.0.0:50051"]
# Of the operators' port, which server.flags opens on loopback: it needs neither a certificate nor a token.
HEALTHCHECK --start-period=2m --interval=10s --timeout=5s CMD ["bash", "-c", \
  "exec 3<>/dev/tcp/127.0.0.1/9464 && printf 'GET /readyz HTTP/1.0\\r\\n\\r\\n' >&3 && read -r _ code _ <&3 && [[ $code == 200 ]]"]

FROM server AS server-with-model
COPY --from=model --chmod=0444 /src/build/models/model.pt /var/lib/sinkstream/model.pt

FROM ${BASE} AS tools
RUN --mount=type=bind,from=build,source=/src/build/package,target=/packages \
    apt-get update && \
    apt-get install --yes --no-install-recommends /packages/sinkstream-tools_*.deb /packages/sinkstream-chat_*.deb && \
    apt-get clean && rm -rf /var/lib/apt/lists/*
USER 10001:10001
