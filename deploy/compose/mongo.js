// SPDX-License-Identifier: ISC
// Runs in mongosh beside the first member, at every start: makes the replica set and two accounts,
// and finds them the next time. The server lets a local client do so as long as there is no account.
const fs = require("fs");
const password = (file) => fs.readFileSync(file, "utf8");
const members = ["mongo-1:27017", "mongo-2:27017", "mongo-3:27017"];
const admin = db.getSiblingDB("admin");
const adminPassword = password("/run/mongo/admin.password");

const isThere = () => {
    try {
        admin.auth("admin", adminPassword);
        return true;
    } catch (e) {
        return false;
    }
};

if (!isThere()) {
    try {
        // The first member is preferred, so that it is the one that takes the accounts.
        rs.initiate({ _id: "rs0", members: members.map((host, i) => ({ _id: i, host, priority: i === 0 ? 2 : 1 })) });
    } catch (e) {
        if (e.codeName !== "AlreadyInitialized") throw e;
    }
    while (!db.hello().isWritablePrimary) sleep(500);
    admin.createUser({ user: "admin", pwd: adminPassword, roles: ["root"] });
    admin.auth("admin", adminPassword);
}
// All that twostepd needs is to read and write one database.
const twostep = db.getMongo().getDB("twostep");
if (twostep.getUser("twostep") === null)
    twostep.createUser({
        user: "twostep",
        pwd: password("/run/twostep/mongo.password"),
        roles: [{ role: "readWrite", db: "twostep" }],
    });
print("the replica set is ready");
