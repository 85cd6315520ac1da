-- Requests for wrk, and its figures as JSON.
-- Arguments after "--": "get"; "form BYTES" posts an upload form; "put BYTES" puts under a new name each time.
local json = '{"requests":%d,"microseconds":%d,"failures":%d,"p50":%d,"p99":%d}\n'
local boundary = "----benchmark-boundary-7d1c"
local number = 0

function init(args)
  if args[1] == "get" then
    return
  end
  local bytes = string.rep("x", tonumber(args[2]))
  if args[1] == "form" then
    wrk.method = "POST"
    wrk.headers["Content-Type"] = "multipart/form-data; boundary=" .. boundary
    wrk.body = "--" .. boundary .. '\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n'
      .. "--" .. boundary .. '\r\nContent-Disposition: form-data; name="file"; filename="small.bin"\r\n'
      .. "Content-Type: application/octet-stream\r\n\r\n" .. bytes .. "\r\n--" .. boundary .. "--\r\n"
  else
    wrk.method = "PUT"
    wrk.body = bytes
    local base = wrk.path .. os.time() .. "-"
    request = function()
      number = number + 1
      return wrk.format(nil, base .. number)
    end
  end
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(json:format(summary.requests, summary.duration, errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
