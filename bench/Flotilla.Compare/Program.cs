using System.Diagnostics;
using System.Globalization;
using System.Text;
using Flotilla.Compare;
using Flotilla.Contracts;
using Flotilla.Wire.Rpc;

// One closed-loop run against one system: the same client, the same wire (gRPC unary over HTTP/2), the same records.
// Usage: Flotilla.Compare etcd|flotilla HOST:PORT,HOST:PORT,… put|get CLIENTS SECONDS PID,PID,…
// Prints one tab-separated line: system, op, clients, ops/s, p50 ms, p99 ms, server CPU µs/op, client CPU µs/op, errors.
if (args.Length != 6)
{
    Console.Error.WriteLine("usage: Flotilla.Compare etcd|flotilla HOST:PORT,… put|get CLIENTS SECONDS PID,…");
    return 2;
}

var (system, op) = (args[0], args[2]);
var clients = int.Parse(args[3], CultureInfo.InvariantCulture);
var seconds = double.Parse(args[4], CultureInfo.InvariantCulture);
var pids = args[5].Split(',').Select(pid => int.Parse(pid, CultureInfo.InvariantCulture)).ToArray();

// etcd's own benchmark spreads clients over connections too; eight a node keep HTTP/2's per-connection lock out of the way.
var channels = new List<RpcChannel>();
foreach (var endpoint in args[1].Split(','))
{
    for (var i = 0; i < Math.Clamp(clients / 24, 1, 8); i++)
    {
        if (!HostPort.TryParse(endpoint, out var address, out var problem))
        {
            Console.Error.WriteLine(problem);
            return 2;
        }

        channels.Add(new RpcChannel(address));
    }
}

ITarget target = system == "etcd" ? new EtcdTarget() : new FlotillaTarget();
var load = new ClosedLoop(target, channels, op == "put", clients);
await load.RunAsync(TimeSpan.FromSeconds(Math.Max(1, seconds / 4)));
var serverCpu = pids.Sum(Cpu);
var clientCpu = Process.GetCurrentProcess().TotalProcessorTime.TotalMicroseconds;
var watch = Stopwatch.StartNew();
var result = await load.RunAsync(TimeSpan.FromSeconds(seconds));
var elapsed = watch.Elapsed.TotalSeconds;
var count = Math.Max(1, result.Latencies.Count);
serverCpu = pids.Sum(Cpu) - serverCpu;
clientCpu = Process.GetCurrentProcess().TotalProcessorTime.TotalMicroseconds - clientCpu;
result.Latencies.Sort();
Console.WriteLine(string.Join('\t', system, op, clients, (count / elapsed).ToString("F0"), result.At(0.5).ToString("F2"), result.At(0.99).ToString("F2"), (serverCpu / count).ToString("F0"), (clientCpu / count).ToString("F0"), result.Errors));
return 0;

// User and system time of a process in microseconds, from /proc (clock ticks of 10 ms).
static double Cpu(int pid)
{
    var stat = File.ReadAllText($"/proc/{pid}/stat", Encoding.ASCII);
    var fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
    return (long.Parse(fields[11], CultureInfo.InvariantCulture) + long.Parse(fields[12], CultureInfo.InvariantCulture)) * 10_000.0;
}
