{{- define "dinghy.name" -}}{{ .Release.Name }}-dinghy{{- end -}}
