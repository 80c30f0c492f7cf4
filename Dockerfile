# The image of `weir serve`: one static binary on distroless, as a user without rights.
#
#   docker build -t weir .
#   docker run --ulimit nofile=1048576 --stop-timeout 75 -p 3000:3000 -v ./weir.yaml:/etc/weir/weir.yaml:ro weir
#
# The management API listens on the container's loopback unless the file says otherwise and has a key; probes need
# `management.probes`. deploy/README.md has the limits that count.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X github.com/streamweir/weir/internal/build.version=${VERSION}" -o /weir ./cmd/weir

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /weir /usr/local/bin/weir
EXPOSE 3000
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/weir"]
CMD ["serve", "--config", "/etc/weir/weir.yaml"]
