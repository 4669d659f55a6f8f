{{- define "bricks.pod" -}}
metadata:
  labels: {app: {{ .name }}}
  annotations: {side: {{ .side | quote }}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
    - name: main
      image: {{ .image }}
      imagePullPolicy: IfNotPresent
      command: [sleep, "1000000"]
{{- end -}}
