{{- define "agent.selector" -}}
app.kubernetes.io/name: skerry-agent
{{- end -}}

{{- define "agent.labels" -}}
{{ include "agent.selector" . }}
app.kubernetes.io/part-of: skerry
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
skerry.dev/installed: agent
{{- end -}}

{{- define "agent.image" -}}
{{- with .Values.image -}}
{{- with .registry }}{{ . }}/{{ end -}}
{{ .repository }}
{{- if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end -}}
{{- end -}}
{{- end -}}

{{- /* The Secret with the token: the chart's own, somebody else's, or none (an agent that has joined needs none). */ -}}
{{- define "agent.tokenSecret" -}}
{{- if .Values.token }}skerry-agent-token{{ else }}{{ .Values.tokenSecret }}{{ end -}}
{{- end -}}
