-- Generate load with wrk: POST the lines of a file as bodies in turn, and print a JSON summary.
-- Arguments: the file, and the value of the Authorization header ("" for none).

local requests = {}
local current = 0

function init(arguments)
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  if arguments[2] ~= "" then
    wrk.headers["Authorization"] = arguments[2]
  end
  for body in io.lines(arguments[1]) do
    requests[#requests + 1] = wrk.format(nil, nil, nil, body)
  end
end

function request()
  current = current % #requests + 1
  return requests[current]
end

function done(summary, latency, _)
  local errors = summary.errors
  print(string.format(
    '{"rate": %f, "median_ms": %f, "failed": %d}',
    summary.requests * 1e6 / summary.duration,
    latency:percentile(50) / 1e3,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout
  ))
end
