{{- define "im-gateway.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 58 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 58 | trimSuffix "-" -}}
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

{{/* Faults that would otherwise show as pods that do not start. */}}
{{- define "im-gateway.check" -}}
{{- if not (or (has "GRPC_AUTH_TOKEN" .Values.secrets.keys) (and (has "GRPC_TLS_CERT" .Values.secrets.keys) (has "GRPC_TLS_KEY" .Values.secrets.keys) (has "GRPC_TLS_CA" .Values.secrets.keys))) -}}
{{- fail "secrets.keys: callers of the gRPC port need GRPC_AUTH_TOKEN, or GRPC_TLS_CERT, GRPC_TLS_KEY and GRPC_TLS_CA" -}}
{{- end -}}
{{- if ge (add (int .Values.shutdown.preStopSeconds) (int .Values.shutdown.drainTimeoutSeconds)) (int64 .Values.shutdown.gracePeriodSeconds) -}}
{{- fail "shutdown: gracePeriodSeconds must exceed preStopSeconds and drainTimeoutSeconds together" -}}
{{- end -}}
{{- $own := list "WS_HOST" "WS_PORT" "GRPC_HOST" "GRPC_PORT" "GRPC_ADVERTISE_ADDR" "GATEWAY_NODE_ID" "AUTH_SERVICE_ADDR" "IM_SERVICE_ADDR" "USER_SERVICE_ADDR" "ETCD_ENDPOINTS" "KAFKA_BROKERS" "REDIS_ADDR" "MAX_CONNECTIONS" "PRE_STOP_DELAY" "DRAIN_TIMEOUT" "GRACE_PERIOD" -}}
{{- range $name, $value := .Values.config -}}
{{- if has $name $own -}}
{{- fail (printf "config.%s: the chart sets it from a value of its own" $name) -}}
{{- end -}}
{{- if has $name $.Values.secrets.keys -}}
{{- fail (printf "config.%s: it is among secrets.keys as well" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
