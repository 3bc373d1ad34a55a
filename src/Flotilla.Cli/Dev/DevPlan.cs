using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Flotilla.Contracts;

namespace Flotilla.Cli.Dev;

/// <summary>The processes of a development cluster: who they are, where they listen, how they are started.</summary>
/// <param name="Name"><c>n1</c> … or <c>router</c>.</param>
/// <param name="Http">Where it serves HTTP.</param>
/// <param name="Ports">Its ports with the flag that moves each.</param>
/// <param name="Arguments">What follows <c>flotilla</c>.</param>
internal sealed record DevProcess(string Name, HostPort Http, IReadOnlyList<(int Port, string Purpose, string Flag)> Ports, IReadOnlyList<string> Arguments)
{
    /// <summary>The line that starts it by hand.</summary>
    public string CommandLine => "./flotilla " + string.Join(' ', Arguments.Select(Quote));

    private static string Quote(string argument) =>
        argument.Length > 0 && argument.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.' or '/' or ':' or '=' or ',')
            ? argument
            : "'" + argument.Replace("'", "'\\''", StringComparison.Ordinal) + "'";
}

/// <summary>Lays out a development cluster.</summary>
internal static class DevPlan
{
    /// <summary>The nodes, then the router.</summary>
    public static IReadOnlyList<DevProcess> Make(int nodes, int shards, int replicas, int httpBase, int rpcBase, int routerPort, string dataDir, IReadOnlyList<string> tuning)
    {
        static string At(int port) => string.Create(CultureInfo.InvariantCulture, $"127.0.0.1:{port}");
        var cluster = string.Join(',', Enumerable.Range(1, nodes).Select(i => $"n{i}={At(rpcBase + i)}"));
        var processes = new List<DevProcess>();
        for (var i = 1; i <= nodes; i++)
        {
            var name = $"n{i}";
            processes.Add(new DevProcess(name, new HostPort("127.0.0.1", httpBase + i), [(httpBase + i, "HTTP", "--http-base"), (rpcBase + i, "RPC", "--rpc-base")],
            [
                "node", "--node-id", name, "--http", At(httpBase + i), "--rpc", At(rpcBase + i), "--data-dir", Path.Combine(dataDir, name), "--initial-cluster", cluster,
                "--shards", shards.ToString(CultureInfo.InvariantCulture), "--replicas", replicas.ToString(CultureInfo.InvariantCulture), .. tuning,
            ]));
        }

        var http = string.Join(',', processes.Select(p => p.Http.ToString()));
        processes.Add(new DevProcess("router", new HostPort("127.0.0.1", routerPort), [(routerPort, "HTTP", "--router-port")], ["router", "--listen", At(routerPort), "--nodes", http]));
        return processes;
    }

    /// <summary>The first port that something else uses, in words with what to do; null if all are free. Waits a moment for an earlier cluster that is just ending.</summary>
    public static async Task<string?> BusyPortAsync(IReadOnlyList<DevProcess> processes, TimeSpan patience, CancellationToken cancel)
    {
        var deadline = Environment.TickCount64 + (long)patience.TotalMilliseconds;
        while (true)
        {
            string? busy = null;
            foreach (var process in processes)
            {
                foreach (var (port, purpose, flag) in process.Ports)
                {
                    busy ??= IsFree(port) ? null : $"port {port}, meant for {process.Name}'s {purpose}, is in use: end what listens there (`ss -ltnp 'sport = :{port}'` tells who, perhaps another `flotilla dev`), or choose other ports with {flag}. Nothing was started.";
                }
            }

            if (busy is null || Environment.TickCount64 >= deadline)
            {
                return busy;
            }

            await Task.Delay(TimeSpan.FromMilliseconds(100), cancel);
        }
    }

    private static bool IsFree(int port)
    {
        try
        {
            using var listener = new TcpListener(IPAddress.Loopback, port);
            listener.Start();
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }
}
