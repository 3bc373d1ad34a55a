using Flotilla.Node;
using Flotilla.Server.Tests.Fakes;
using Flotilla.Shards;

namespace Flotilla.Server.Tests.Http;

/// <summary>Several keys in one request.</summary>
public sealed class TogetherTests
{
    [Fact]
    public async Task Several_records_come_in_the_order_asked_for_and_those_that_are_not_there_are_named()
    {
        await using var door = await DoorFixture.StartAsync();
        await door.PutAsync("/kv/%7Bu%7Dname", "Ann");
        await door.PutAsync("/kv/a,b", "comma");
        var answer = await door.GetAsync("/kv?keys=%7Bu%7Dname,none,a%2Cb,%ff");
        Assert.Equal(200, answer.Status);
        Assert.Equal("{u}name=Ann a,b=comma", string.Join(' ', answer.Json.GetProperty("items").EnumerateArray().Select(i => $"{i.GetProperty("key")}={i.GetProperty("value")}")));
        Assert.Equal("""[{"key":"none"},{"keyBase64":"/w=="}]""", answer.Json.GetProperty("missing").ToString());
    }

    [Fact]
    public async Task Keys_of_several_shards_are_refused_with_what_to_do()
    {
        var gateway = new FakeGateway { OnScan = _ => new ScanAnswer(ResultCode.CrossShard, [], null, default, default, null, "\"a\" lives in shard 1 and \"b\" in shard 2") };
        await using var door = await DoorFixture.StartAsync(gateway: gateway);
        var answer = await door.GetAsync("/kv?keys=a,b");
        Assert.Equal("\"a\" lives in shard 1 and \"b\" in shard 2", answer.IsProblem(400, "cross_shard"));
    }

    [Theory]
    [InlineData("keys=", "empty key")]
    [InlineData("keys=a,,b", "empty key")]
    [InlineData("keys=a,%zz", "percent-encoded")]
    [InlineData("keys=a&prefix=b", "prefix")]
    [InlineData("keys=a&keys=b", "twice")]
    public async Task What_cannot_be_read_is_refused(string query, string why)
    {
        await using var door = await DoorFixture.StartAsync();
        Assert.Contains(why, (await door.GetAsync("/kv?" + query)).IsProblem(400, "bad_request"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task There_is_a_bound_on_how_many()
    {
        await using var door = await DoorFixture.StartAsync();
        Assert.Equal(200, (await door.GetAsync("/kv?keys=" + string.Join(',', Enumerable.Range(0, ScanRequest.MaxKeys)))).Status);
        Assert.Contains("1000", (await door.GetAsync("/kv?keys=" + string.Join(',', Enumerable.Range(0, ScanRequest.MaxKeys + 1)))).IsProblem(400, "bad_request"), StringComparison.Ordinal);
        (await door.GetAsync("/kv?keys=a," + new string('k', 5000))).IsProblem(413, "too_large");
    }
}
