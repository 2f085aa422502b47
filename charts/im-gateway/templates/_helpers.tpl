{{/* A release may be called what no Service can be: with dots in it. */}}
{{- define "im-gateway.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | replace "." "-" | trunc 58 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | replace "." "-" | trunc 58 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "im-gateway.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "im-gateway.labels" -}}
{{ include "im-gateway.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* Of the WebSocket port. */}}
{{- define "im-gateway.scheme" -}}
{{- if has "WS_TLS_CERT" .Values.secrets.keys -}}HTTPS{{- else -}}HTTP{{- end -}}
{{- end -}}

{{/* With an autoscaler as many as there are: a number that was given before and is missing now is 1 to Kubernetes. */}}
{{- define "im-gateway.replicas" -}}
{{- if not .Values.autoscaling.enabled -}}
{{- .Values.replicaCount -}}
{{- else -}}
{{- with lookup "apps/v1" "Deployment" .Release.Namespace (include "im-gateway.name" .) -}}{{- .spec.replicas -}}{{- end -}}
{{- end -}}
{{- end -}}

{{/* 20 s are left for what comes after the drain: the last acknowledgements, and the connections to the systems around. */}}
{{- define "im-gateway.gracePeriodSeconds" -}}
{{- $stop := add (int64 .Values.shutdown.preStopSeconds) (int64 .Values.shutdown.drainTimeoutSeconds) -}}
{{- $grace := int64 (.Values.shutdown.gracePeriodSeconds | default (add $stop 20)) -}}
{{- if ge $stop $grace -}}
{{- fail "shutdown: gracePeriodSeconds must exceed preStopSeconds and drainTimeoutSeconds together" -}}
{{- end -}}
{{- $grace -}}
{{- end -}}

{{/* Faults that would otherwise show as pods that do not start. */}}
{{- define "im-gateway.check" -}}
{{- if not (regexMatch "^[a-z]" .Release.Name) -}}
{{- fail (printf "the release %s: its name begins with a letter, as those of Services do" .Release.Name) -}}
{{- end -}}
{{- if eq (int64 .Values.ports.ws) (int64 .Values.ports.grpc) -}}
{{- fail "ports: ws and grpc must differ" -}}
{{- end -}}
{{- if ne (has "WS_TLS_CERT" .Values.secrets.keys) (has "WS_TLS_KEY" .Values.secrets.keys) -}}
{{- fail "secrets.keys: WS_TLS_CERT and WS_TLS_KEY come together" -}}
{{- end -}}
{{- range $name := list "app.kubernetes.io/name" "app.kubernetes.io/instance" -}}
{{- if hasKey ($.Values.podLabels | default dict) $name -}}
{{- fail (printf "podLabels.%s: the pods are found by it, the chart sets it" $name) -}}
{{- end -}}
{{- end -}}
{{- if not (or (has "GRPC_AUTH_TOKEN" .Values.secrets.keys) (and (has "GRPC_TLS_CERT" .Values.secrets.keys) (has "GRPC_TLS_KEY" .Values.secrets.keys) (has "GRPC_TLS_CA" .Values.secrets.keys))) -}}
{{- fail "secrets.keys: callers of the gRPC port need GRPC_AUTH_TOKEN, or GRPC_TLS_CERT, GRPC_TLS_KEY and GRPC_TLS_CA" -}}
{{- end -}}
{{- if hasKey .Values.config "WORKERS" -}}
{{- fail "config.WORKERS: a pod is one process, more pods are what more workers are elsewhere" -}}
{{- end -}}
{{- $own := list "WS_HOST" "WS_PORT" "GRPC_HOST" "GRPC_PORT" "GRPC_ADVERTISE_ADDR" "GATEWAY_NODE_ID" "AUTH_SERVICE_ADDR" "IM_SERVICE_ADDR" "USER_SERVICE_ADDR" "ETCD_ENDPOINTS" "KAFKA_BROKERS" "REDIS_ADDR" "MAX_CONNECTIONS" "PRE_STOP_DELAY" "DRAIN_TIMEOUT" "GRACE_PERIOD" -}}
{{- $secret := list "WS_TLS_KEY" "ADMIN_TOKEN" "JWT_SECRET" "JWT_SECRET_PREVIOUS" "UPSTREAM_TLS_KEY" "GRPC_AUTH_TOKEN" "GRPC_AUTH_TOKEN_PREVIOUS" "GRPC_TLS_KEY" "ETCD_PASSWORD" "ETCD_TLS_KEY" "REDIS_PASSWORD" "REDIS_SENTINEL_PASSWORD" "REDIS_TLS_KEY" "KAFKA_SASL_PASSWORD" "KAFKA_TLS_KEY" -}}
{{- range $name, $value := .Values.config -}}
{{- if has $name $own -}}
{{- fail (printf "config.%s: the chart sets it from a value of its own" $name) -}}
{{- end -}}
{{- if has $name $.Values.secrets.keys -}}
{{- fail (printf "config.%s: it is among secrets.keys as well" $name) -}}
{{- end -}}
{{- if has $name $secret -}}
{{- fail (printf "config.%s: it is a secret, name it in secrets.keys" $name) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.autoscaling.enabled (lt (int64 .Values.autoscaling.maxReplicas) (int64 .Values.autoscaling.minReplicas)) -}}
{{- fail "autoscaling: maxReplicas must not be below minReplicas" -}}
{{- end -}}
{{- if .Values.networkPolicy.enabled -}}
{{- range $name := list "imService" "loadBalancer" "prometheus" "egress" -}}
{{- if not (index $.Values.networkPolicy $name) -}}
{{- fail (printf "networkPolicy.%s: it may not be empty, which would be everybody" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
