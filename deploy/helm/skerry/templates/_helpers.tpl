{{- define "host.selector" -}}
app.kubernetes.io/name: {{ . }}
{{- end -}}

{{- define "host.labels" -}}
{{ include "host.selector" .name }}
app.kubernetes.io/part-of: skerry
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
skerry.dev/installed: host
{{- end -}}

{{- /* metadata of an object: name (of the object), of (the workload, by default the same), root. */ -}}
{{- define "host.metadata" -}}
name: {{ .name }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "host.labels" (dict "root" .root "name" (.of | default .name)) | nindent 2 }}
{{- end -}}

{{- define "host.image" -}}
{{- with .Values.image -}}
{{- with .registry }}{{ . }}/{{ end -}}
{{ .repository }}
{{- if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end -}}
{{- end -}}
{{- end -}}

{{- define "host.container.security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- /* The Secret with the host's keys. */ -}}
{{- define "host.keys" -}}
{{ .Values.keys.existingSecret | default "skerry-keys" }}
{{- end -}}

{{- /* The workload, and ServiceAccount, that a service runs in: root, service. */ -}}
{{- define "host.workload" -}}
{{ has .service .root.Values.standalone | ternary (printf "skerry-%s" .service) "skerry-controller-manager" }}
{{- end -}}

{{- define "host.frontDoor" -}}
skerry.{{ .Release.Namespace }}.svc
{{- end -}}

{{- /* Where the host's own processes reach the bus, by commas. */ -}}
{{- define "host.bus" -}}
{{- if eq .Values.bus.mode "external" -}}
{{ join "," .Values.bus.external.servers }}
{{- else -}}
tls://skerry-bus.{{ .Release.Namespace }}.svc:4222
{{- end -}}
{{- end -}}

{{- /* The Secret with the certificate of the front door that is not the host's own, if there is one. */ -}}
{{- define "host.tls" -}}
{{- if .Values.tower.tls.issuerRef.name }}skerry-tower-tls{{ else }}{{ .Values.tower.tls.existingSecret }}{{ end -}}
{{- end -}}

{{- /* The words of the bootstrap in a pod, as JSON. */ -}}
{{- define "host.bootstrap" -}}
{{- $words := list "bootstrap" "--into" "/run/skerry" "--namespace" .Release.Namespace "--name" .Values.name -}}
{{- range .Values.addresses }}{{ $words = concat $words (list "--address" .) }}{{ end -}}
{{- range .Values.bus.addresses }}{{ $words = concat $words (list "--bus-address" .) }}{{ end -}}
{{- range .Values.standalone }}{{ $words = concat $words (list "--standalone" .) }}{{ end -}}
{{- with .Values.keys.existingSecret }}{{ $words = concat $words (list "--keys-secret" .) }}{{ end -}}
{{- if include "host.tls" . }}{{ $words = append $words "--foreign-certificate" }}{{ end -}}
{{- if eq .Values.bus.mode "internal" -}}
{{- $words = concat $words (list "--bus" (include "host.bus" .)) -}}
{{- else if not .Values.bus.addresses -}}
{{- range .Values.bus.external.servers }}{{ $words = concat $words (list "--bus-address" (trimPrefix "tls://" .)) }}{{ end -}}
{{- end -}}
{{ toJson $words }}
{{- end -}}

{{- /* What every pod has: root, name (of the workload), values (of the workload), account, token (whether it is mounted). */ -}}
{{- define "host.pod" -}}
serviceAccountName: {{ .account }}
automountServiceAccountToken: {{ .token | default false }}
# A Service skerry-… would inject SKERRY_ variables that are no settings.
enableServiceLinks: false
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
  {{- if .values.topologySpreadConstraints }}
  {{- toYaml .values.topologySpreadConstraints | nindent 2 }}
  {{- else }}
  {{- $hard := and (eq .name "skerry-nats") (gt (int .values.replicas) 1) }}
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: {{ ternary "DoNotSchedule" "ScheduleAnyway" $hard }}
    labelSelector:
      matchLabels:
        {{- include "host.selector" .name | nindent 8 }}
  - maxSkew: 1
    topologyKey: topology.kubernetes.io/zone
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "host.selector" .name | nindent 8 }}
  {{- end }}
{{- end -}}

{{- /* metadata of pods: root, name, values. */ -}}
{{- define "host.podMetadata" -}}
labels:
  {{- include "host.labels" . | nindent 2 }}
  {{- with .values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .values.podAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- /* Probes of a process of ours. */ -}}
{{- define "host.probes" -}}
livenessProbe:
  httpGet:
    path: /livez
    port: ops
  initialDelaySeconds: 5
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet:
    path: /readyz
    port: ops
  periodSeconds: 2
  timeoutSeconds: 5
{{- end -}}

{{- /* Settings that every process of the host has: root, user (file of its credentials). */ -}}
{{- define "host.settings" -}}
- name: SKERRY_BUS_SERVERS
  value: {{ include "host.bus" .root | quote }}
- name: SKERRY_BUS_CA_FILE
  value: {{ ternary "/run/skerry-bus-ca/ca.crt" "/run/skerry/own/ca.crt" (and (eq .root.Values.bus.mode "external") (ne .root.Values.bus.external.caSecret "")) }}
- name: SKERRY_BUS_CREDENTIALS_FILE
  value: /run/skerry/own/{{ .user }}.creds
- name: SKERRY_TRACING
  value: {{ ternary "1" "0" .root.Values.tracing | quote }}
- name: SKERRY_OPS_LISTEN
  value: ":8081"
- name: SKERRY_TERMINATION_FILE
  value: /dev/termination-log
- name: SKERRY_LOG_LEVEL
  value: {{ .root.Values.logLevel }}
- name: SKERRY_LOG_FORMAT
  value: json
- name: SKERRY_STRICT
  value: "1"
{{- end -}}

{{- /* Who the host is: root, secret. */ -}}
{{- define "host.identity" -}}
- name: SKERRY_HOST_NAME
  value: {{ .root.Values.name | quote }}
- name: SKERRY_HOST_UID
  valueFrom:
    secretKeyRef:
      name: {{ .secret }}
      key: host-uid
{{- end -}}

{{- /* Copies of the store's data. */ -}}
{{- define "host.copies" -}}
{{ ternary 1 3 (lt (int .Values.bus.replicas) 3) }}
{{- end -}}

{{- define "host.own" -}}
- name: own
  mountPath: /run/skerry/own
  readOnly: true
{{- end -}}

{{- /* Mount and volume of the authority of an external bus. */ -}}
{{- define "host.mounts" -}}
{{- if and (eq .Values.bus.mode "external") .Values.bus.external.caSecret }}
- name: bus-ca
  mountPath: /run/skerry-bus-ca
  readOnly: true
{{- end }}
{{- end -}}

{{- define "host.volumes" -}}
{{- if and (eq .Values.bus.mode "external") .Values.bus.external.caSecret }}
- name: bus-ca
  secret:
    secretName: {{ .Values.bus.external.caSecret }}
    defaultMode: 0440
    items:
      - {key: ca.crt, path: ca.crt}
{{- end }}
{{- end -}}

{{- /* spec of a Service by its values. */ -}}
{{- define "host.service" -}}
type: {{ .type }}
ipFamilyPolicy: PreferDualStack
{{- with .loadBalancerClass }}
loadBalancerClass: {{ . }}
{{- end }}
{{- with .loadBalancerSourceRanges }}
loadBalancerSourceRanges:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .externalTrafficPolicy }}
externalTrafficPolicy: {{ . }}
{{- end }}
{{- end -}}

{{- /* Nine tenths of a quantity of memory, as Go counts it; empty where it is written in other units than Mi and Gi. */ -}}
{{- define "host.memory" -}}
{{- $text := . | toString -}}
{{- if regexMatch "^[0-9]+(\\.[0-9]+)?Gi$" $text -}}
{{ mulf (trimSuffix "Gi" $text | float64) 1024 0.9 | floor | int64 }}MiB
{{- else if regexMatch "^[0-9]+(\\.[0-9]+)?Mi$" $text -}}
{{ mulf (trimSuffix "Mi" $text | float64) 0.9 | floor | int64 }}MiB
{{- end -}}
{{- end -}}
